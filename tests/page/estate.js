// Events that make an estate: the same each time for the same number of issues.

const MINUTE = 60_000;
const SERVICES = ["carts", "checkout", "catalogue", "payment", "search", "shipping", "accounts", "reviews", "gateway", "mailer", "pricing", "stock"];
const CHECKS = ["unit-tests", "integration-tests", "image-scan", "deployment", "load-test", "e2e", "licence-scan", "schema-migration"];
const TITLES = {
  "unit-tests": "Unit tests fail: 3 of 412",
  "integration-tests": "Integration tests time out while waiting for the broker",
  "image-scan": "A base image with a known weakness (openssl 3.0.11)",
  deployment: "The rollout does not get beyond 2 of 5 replicas",
  "load-test": "95th percentile is 840 ms, the limit is 500 ms",
  e2e: "The basket is empty after signing in",
  "licence-scan": "A dependency changed its licence",
  "schema-migration": "Migration 0042 locks the orders table for too long",
};
const SEVERITIES = ["critical", "major", "major", "minor", "minor", "info"];

/** Numbers that look as if by chance, and are the same each time. */
function dice(seed) {
  let state = seed;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

let serial = 0;

/** One run of a check. */
export function check(state, { at = Date.now(), service = "carts", team = "shop-dev", name = "unit-tests", severity = "major", title, text = "", url = "", run, context } = {}) {
  serial += 1;
  return {
    specversion: "1.0", id: `check-${serial}-${state}`, source: "ci", type: "com.example.check", time: new Date(at).toISOString(), ...(context ? { shkeptncontext: context } : {}),
    data: { state, service, team, check: name, severity, title: title ?? TITLES[name] ?? `${name} fails`, text, url, run: run ?? `run-${serial}`, labels: { team: team.split("-")[0] } },
  };
}

/** Events after which `n` issues are active, with a month of ups and downs behind them. */
export function estate(n, now = Date.now()) {
  const roll = dice(7 + n);
  const events = [];
  for (let i = 0; i < n; i += 1) {
    const service = SERVICES[roll(SERVICES.length)] + (n > 100 ? `-${roll(Math.ceil(n / 60))}` : "");
    const name = n > 400 ? `${CHECKS[i % CHECKS.length]}-${i}` : CHECKS[i % CHECKS.length];
    const what = {
      service: n > 20 ? service : SERVICES[i % SERVICES.length], name, severity: SEVERITIES[roll(SEVERITIES.length)], team: ["shop-dev", "shop-prod", "tools-ci"][roll(3)],
      title: TITLES[CHECKS[i % CHECKS.length]], url: `https://ci.example.com/runs/${1000 + i}`,
      text: "Step 4 of 7 ended with exit code 1.\n\nexpected: 200 OK\n     got: 503 Service Unavailable (no endpoints)\n\nThe last good run was on the commit before.",
    };
    // A few thousand issues need no past to be many.
    const past = n > 400 ? 0 : 2 + roll(13);
    let at = now - (past + 1) * (30 + roll(500)) * MINUTE * 4;
    for (let run = 0; run < past; run += 1) {
      events.push(check(roll(3) ? "fine" : "broken", { ...what, at }));
      at += (20 + roll(700)) * MINUTE;
      if (at > now - 60 * MINUTE) break;
    }
    events.push(check("broken", { ...what, at: now - (1 + roll(n > 10 ? 4000 : 600)) * MINUTE }));
  }
  return events.sort((a, b) => (a.time < b.time ? -1 : 1));
}

/** A delivery through two stages, whose second test fails. */
export function delivery({ context = "b0a7-delivery", service = "carts", fails = true, now = Date.now(), open = false } = {}) {
  const events = [];
  let at = now - 25 * MINUTE;
  const put = (type, id, more, data) => {
    const event = { specversion: "1.0", id: `${context}-${id}`, source: "shipyard-controller", type, time: new Date(at).toISOString(), shkeptncontext: context, ...more };
    events.push({ ...event, data: { project: "shop", service, ...data } });
  };
  const task = (stage, name, minutes, result, source, message) => {
    const id = `${stage}-${name}`;
    put(`sh.keptn.event.${name}.triggered`, id, {}, { stage });
    at += 0.3 * MINUTE;
    put(`sh.keptn.event.${name}.started`, `${id}-started`, { triggeredid: `${context}-${id}`, source }, { stage });
    at += minutes * MINUTE;
    if (result) put(`sh.keptn.event.${name}.finished`, `${id}-finished`, { triggeredid: `${context}-${id}`, source }, { stage, status: "succeeded", result, message });
  };
  put("sh.keptn.event.dev.delivery.triggered", "dev", {}, { stage: "dev" });
  task("dev", "build", 4, "pass", "tekton");
  task("dev", "deployment", 1.5, "pass", "helm-service");
  task("dev", "test", 3, "pass", "jmeter-service");
  put("sh.keptn.event.dev.delivery.finished", "dev-finished", { triggeredid: `${context}-dev` }, { stage: "dev", status: "succeeded", result: "pass" });
  put("sh.keptn.event.staging.delivery.triggered", "staging", {}, { stage: "staging" });
  task("staging", "deployment", 2, "pass", "helm-service");
  task("staging", "test", 6, open ? undefined : fails ? "fail" : "pass", "jmeter-service", fails ? "3 of 9 checks failed" : "");
  if (!open) {
    task("staging", "evaluation", 1, fails ? "warning" : "pass", "lighthouse", "score 71 of 100");
    put("sh.keptn.event.staging.delivery.finished", "staging-finished", { triggeredid: `${context}-staging` }, { stage: "staging", status: "succeeded", result: fails ? "fail" : "pass" });
  }
  return events;
}

/** A trigger of ours that lacks what it needs and a message nobody can judge: both are parked. */
export const unreadable = () => ({ specversion: "1.0", id: `unreadable-${(serial += 1)}`, source: "ci", type: "com.example.check", data: { state: "broken", service: "carts" } });
