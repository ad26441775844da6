// How times, amounts and states are said.

/** Severities, the worst first. */
export const SEVERITIES = ["critical", "major", "minor", "info"];

const UNITS = [["y", 31557600], ["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];

/** `4200` → `1 h 10 min`: the largest unit, and the next one where it says something. */
export function span(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return "";
  if (seconds < 1) return seconds <= 0 ? "0 s" : `${Math.max(1, Math.round(seconds * 1000))} ms`;
  if (seconds < 10 && seconds % 1) return `${seconds.toFixed(1)} s`;
  let rest = Math.round(seconds);
  const at = UNITS.findIndex(([, size]) => rest >= size);
  const [unit, size] = UNITS[at];
  const whole = Math.floor(rest / size);
  rest -= whole * size;
  const [less, lesser] = UNITS[at + 1] ?? ["", Infinity];
  const part = whole < 10 ? Math.floor(rest / lesser) : 0;
  return part ? `${whole} ${unit} ${part} ${less}` : `${whole} ${unit}`;
}

/** How long ago, in one unit: short enough for a column. */
export function age(time, now = Date.now()) {
  const seconds = (now - Date.parse(time)) / 1000;
  if (Number.isNaN(seconds)) return "";
  if (seconds < 5) return "now";
  const [unit, size] = UNITS.find(([, size]) => seconds >= size);
  return `${Math.floor(seconds / size)} ${unit}`;
}

const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const SHORT = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });

const said = (format, time) => (Number.isNaN(Date.parse(time)) ? String(time ?? "") : format.format(Date.parse(time)));

/** A moment in the reader's own time zone. */
export const moment = (time) => said(FULL, time);

/** The same, shorter. */
export const brief = (time) => said(SHORT, time);

/** `1 run`, `2 runs`. */
export const count = (n, one, many = `${one}s`) => `${n.toLocaleString()} ${n === 1 ? one : many}`;

/** The class that colours an outcome, whatever words it comes in. */
export function tone(word) {
  switch (word) {
    case "pass": case "success": case "succeeded": case "finished": case "resolved": case "RESOLVED": case "UP": return "good";
    case "fail": case "failure": case "failed": case "errored": case "opened": case "reopened": case "ACTIVE": case "DOWN": return "bad";
    case "warning": case "stale": case "parked": return "fair";
    case "started": case "triggered": case "waiting": case "pending": return "busy";
    default: return "plain";
  }
}
