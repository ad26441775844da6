// Pictures of the page for people to look at: `make screenshots` writes them into tests/shots.

import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { check, delivery, estate, unreadable } from "./estate.js";
import { World, browser } from "./world.js";

const folder = fileURLToPath(new URL("../shots/", import.meta.url));
const sizes = { wide: { width: 1280, height: 900 }, narrow: { width: 320, height: 700 } };
// Lists draw what is in sight only, so they are shown as a reader sees them.
const lists = ["list", "all", "filtered"];
const wanted = process.argv[2] ? process.argv[2].split(",").map(Number) : [0, 1, 50, 5000];

await mkdir(folder, { recursive: true });
const chrome = await browser();
try {
  for (const n of wanted) {
    const world = await World.start();
    try {
      if (n) await world.publish(...estate(n));
      if (n === 50) {
        for (const service of ["search", "stock", "mailer"]) await world.publish(...delivery({ context: `ok-${service}`, service, fails: false }));
        await world.publish(...delivery(), ...delivery({ context: "under-way", service: "payment", open: true }), unreadable(), unreadable());
        await world.publish(check("broken", { service: "checkout", title: "Late", at: Date.now() - 3e9 }));
      }
      await shoot(world, n);
    } finally {
      await world.stop();
    }
  }
} finally {
  await chrome.close();
}

async function shoot(world, n) {
  const views = { list: "" };
  if (n === 50) {
    const { data } = await world.get("issues?sort=-severity&limit=40");
    const issue = data.sort((a, b) => b.episodes - a.episodes)[0];
    const resolved = (await world.get("issues?state=RESOLVED&limit=1")).data[0];
    Object.assign(views, {
      issue: `?issue=${issue.number}`, sequence: "?sequence=b0a7-delivery", open: "?sequence=under-way", sequences: "?view=sequences", trend: "?view=trend", parked: "?view=parked", health: "?view=health",
      event: `?event=${issue.openedBy.id}&source=ci`, lost: "?view=nowhere", filtered: "?q=scan&severity=critical,major", all: "?state=ALL",
    });
    if (resolved) views.resolved = `?issue=${resolved.number}`;
  }
  for (const colorScheme of ["light", "dark"]) {
    for (const [width, viewport] of Object.entries(sizes)) {
      const page = await chrome.newPage({ viewport, colorScheme, reducedMotion: "reduce" });
      page.on("pageerror", (error) => console.error(`${n} ${error}`));
      page.on("console", (message) => message.type() === "error" && console.error(`${n} ${message.text()}`));
      for (const [name, address] of Object.entries(views)) {
        await page.goto(world.url + address);
        await page.waitForSelector("main:not([aria-busy]) h1");
        await page.waitForLoadState("networkidle", { timeout: 2000 }).catch(() => {});
        await page.waitForTimeout(150);
        await page.screenshot({ path: `${folder}${n}-${name}-${width}-${colorScheme}.png`, fullPage: !lists.includes(name) });
      }
      await page.close();
    }
  }
}
