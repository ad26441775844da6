// What people do with the page, click by click, in a real browser on a real service.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { check, delivery, unreadable } from "./estate.js";
import { World, browser } from "./world.js";

const HOSTILE = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`;
const HOUR = 3_600_000;
let world, chrome, page;
const complaints = [];

before(async () => {
  world = await World.start();
  chrome = await browser();
  const now = Date.now();
  const cart = { service: "carts", name: "unit-tests", title: "Unit tests fail", text: "3 of 412", url: "https://ci.example.com/7", severity: "critical" };
  await world.publish(
    check("fine", { ...cart, at: now - 9 * HOUR }), check("broken", { ...cart, at: now - 8 * HOUR }), check("fine", { ...cart, at: now - 6 * HOUR }),
    check("broken", { ...cart, at: now - 5 * HOUR }), check("broken", { ...cart, at: now - 4 * HOUR }), check("broken", { ...cart, at: now - 7 * HOUR, title: "late" }),
    check("broken", { service: "carts", name: "load-test", title: "Too slow", severity: "minor", at: now - 3 * HOUR }),
    check("broken", { service: "mailer", name: "e2e", title: HOSTILE, text: HOSTILE, url: "javascript:document.title='owned'", severity: "major", at: now - 2 * HOUR }),
    ...delivery({ service: "stock" }), unreadable());
  page = await chrome.newPage({ viewport: { width: 1200, height: 800 } });
  page.setDefaultTimeout(15_000);
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => /Content Security Policy|TrustedHTML|attribute/.test(message.text()) && complaints.push(message.text()));
});

after(async () => {
  await chrome?.close();
  await world?.stop();
});

const open = async (address = "") => {
  await page.goto(world.url + address);
  await page.waitForSelector("main:not([aria-busy]) h1");
};
const head = () => page.locator("h1").innerText();
const titles = () => page.locator(".row a.open").allInnerTexts();
const query = () => new URL(page.url()).search;

test("what is broken is listed by scope, the worst first, with the last runs of each check", async () => {
  await open();
  const active = (await world.get("issues?state=ACTIVE&limit=1")).total;
  assert.equal(await head(), `${active} things are broken`);
  assert.equal(await page.title(), `(${active}) Broken now · Shipwatch`);
  assert.match(await page.locator(".group").first().innerText(), /carts[^]*component · shop-dev[^]*Unit tests fail[^]*critical[^]*3 failures[^]*2 episodes[^]*Too slow/);
  const runs = page.locator(".row", { hasText: "Unit tests fail" }).locator("svg.runs");
  await runs.waitFor();
  assert.equal(await runs.getAttribute("aria-label"), "Last 6 runs: 2 passed, 3 failed, 1 late");
  assert.equal(await runs.locator("rect.late").count(), 1);
});

test("a filter narrows the list as one types, is part of the address, and survives a reload", async () => {
  await open();
  await page.fill("#filter", "slow load");
  assert.deepEqual(await titles(), ["Too slow"]);
  assert.equal(query(), "?q=slow+load");
  await page.reload();
  await page.waitForSelector(".row");
  assert.deepEqual(await titles(), ["Too slow"]);
  await page.fill("#filter", "nothing like it");
  await page.getByRole("button", { name: "Clear the filter" }).click();
  assert.ok((await titles()).length > 3);
  await page.getByRole("group", { name: "Severity" }).getByRole("button", { name: /critical/ }).click();
  assert.deepEqual(await titles(), ["Unit tests fail"]);
  await page.getByRole("group", { name: "State" }).getByRole("button", { name: "Resolved" }).click();
  assert.equal(query(), "?state=RESOLVED&severity=critical");
  await page.getByText("No issue has been resolved yet").or(page.getByText("No issue fits")).waitFor();
});

test("an issue tells its texts, links, history, relations, and why it opened; back leads to the list as it was", async () => {
  await open("?q=tests");
  await page.getByRole("link", { name: "Unit tests fail" }).click();
  await page.waitForSelector("article.issue");
  assert.equal(await head(), "Unit tests fail");
  const log = page.getByRole("link", { name: "The log" });
  assert.deepEqual([await log.getAttribute("href"), await log.getAttribute("rel")], ["https://ci.example.com/7", "noopener noreferrer"]);
  assert.deepEqual(await page.locator(".history strong").allInnerTexts(), ["Failed again", "Broke again", "Mended", "Broke"]);
  await page.getByText("reopens the issue").waitFor();
  await page.locator(".labels").getByText("shop").waitFor();
  await page.getByRole("link", { name: "The whole event" }).click();
  await page.getByRole("heading", { name: "com.example.check" }).waitFor();
  await page.goBack();
  await page.waitForSelector("article.issue");
  await page.getByRole("link", { name: "Too slow" }).click();
  await page.getByRole("heading", { level: 1, name: "Too slow" }).waitFor();
  await page.goBack();
  await page.getByRole("heading", { level: 1, name: "Unit tests fail" }).waitFor();
  await page.goBack();
  await page.waitForSelector(".issues");
  assert.equal(await page.inputValue("#filter"), "tests");
});

test("a sequence is a picture, and the same in words", async () => {
  await open("?view=sequences");
  await page.getByRole("link", { name: "delivery of stock" }).click();
  await page.waitForSelector("svg.timeline");
  assert.equal(await page.locator("svg.timeline rect.bar.task").count(), 6);
  assert.equal(await page.locator("svg.timeline rect.bar.task.bad title").textContent(), "test: fail, 6 min 18 s");
  await page.getByText("3 of 9 checks failed").waitFor();
  await page.getByRole("link", { name: "test failed: stock in shop/staging" }).click();
  await page.getByRole("link", { name: "See its timeline" }).click();
  await page.waitForSelector("svg.timeline");
});

test("what is parked, how the service is, and how it went are there", async () => {
  await open();
  await page.getByRole("link", { name: "Parked" }).click();
  await page.getByRole("heading", { name: "1 message could not be handled" }).waitFor();
  await page.getByText("The message").click();
  assert.match(await page.locator("pre").innerText(), /"id":\s*"unreadable-/);
  await page.getByRole("link", { name: "Health" }).click();
  await page.getByRole("heading", { name: "All is well" }).waitFor();
  await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "Trend" }).click();
  await page.getByRole("heading", { level: 1, name: "Half is mended within 2 h" }).waitFor();
  await page.getByText("The same as a table").click();
  const trend = await world.get("issues/trend?days=30");
  assert.equal(trend.data.length, 30);
  assert.equal(await page.locator("tbody tr").count(), 30);
  assert.equal(trend.data.reduce((sum, day) => sum + day.resolved, 0), 1);
});

test("an unknown address gets a friendly page, and so does an issue that is not there", async () => {
  await open("?view=nowhere");
  assert.equal(await head(), "Off the chart");
  await open("?issue=99999");
  assert.equal(await head(), "Not here (any more)");
  const answer = await page.goto(`${world.url}some/where`);
  assert.equal(answer.status(), 404);
  await page.getByRole("link", { name: "See what is broken now" }).click();
  await page.waitForSelector(".issues");
  const json = await fetch(`${world.url}some/where`);
  assert.match(json.headers.get("content-type"), /json/);
});

test("what an event says stays text", async () => {
  await open("?q=onerror");
  assert.deepEqual(await titles(), [HOSTILE]);
  await page.locator(".row a.open").click();
  await page.waitForSelector("article.issue");
  assert.equal(await head(), HOSTILE);
  assert.equal(await page.getByRole("link", { name: "The log" }).count(), 0);
  assert.equal(await page.locator("main img, main script").count(), 0);
  assert.match(await page.title(), /^#\d+ <img/);
  assert.deepEqual(complaints, []);
});

test("changes appear without a reload, whatever is looked at", async () => {
  await open();
  await world.publish(check("broken", { service: "search", name: "e2e", title: "Nothing is found", severity: "major" }));
  await page.getByRole("link", { name: "Nothing is found" }).waitFor();
  await page.getByRole("link", { name: "Nothing is found" }).click();
  await page.waitForSelector("article.issue");
  await world.publish(check("fine", { service: "search", name: "e2e" }));
  await page.locator(".state.good").waitFor();
  await page.getByRole("navigation", { name: "Views" }).getByRole("link", { name: "Now" }).click();
  await page.waitForSelector(".issues");
  await page.getByRole("link", { name: "Nothing is found" }).waitFor({ state: "detached" });
});

test("a service that goes away and comes back is followed", async () => {
  await open();
  await world.halt();
  await page.getByText("No answer").waitFor();
  await world.serve();
  await world.publish(check("broken", { service: "search", name: "restart", title: "After the restart" }));
  await page.getByRole("link", { name: "After the restart" }).waitFor({ timeout: 40_000 });
});

test("everything can be reached with the keyboard alone", async () => {
  await open();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.keyboard.press("/");
  await page.keyboard.type("unit");
  await page.keyboard.press("ArrowDown");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Unit tests fail");
  await page.keyboard.press("Enter");
  await page.waitForSelector("article.issue");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  for (let tabs = 0; (await page.evaluate(() => document.activeElement.textContent)) !== "Too slow"; tabs += 1) {
    assert.ok(tabs < 60, "the related issue is never reached");
    await page.keyboard.press("Tab");
    const ring = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(ring, "none", "what has the focus shows it");
  }
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Too slow" }).waitFor();
});
