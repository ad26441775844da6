// Requests to the query endpoint, which lies beside this page wherever that is.

import { ask, token } from "./token.js";

const BASE = new URL("../api/v1/", import.meta.url);

/** An answer that is none: `status` 0 where nobody answered. */
export class Refused extends Error {
  constructor(status, message, details) {
    super(message);
    this.status = status;
    this.details = details;
  }
}

/** The address of a path with parameters; empty ones are left out. */
export function address(path, params = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(params)) if (value !== undefined && value !== "") url.searchParams.set(name, value);
  return url;
}

/** A response, whatever its status, after asking for a token where one is wanted. */
export async function request(url, { headers = {}, signal } = {}) {
  for (let tries = 0; ; tries += 1) {
    const mine = token();
    const bearer = mine ? { Authorization: `Bearer ${mine}` } : {};
    let response;
    try {
      response = await fetch(url, { headers: { ...headers, ...bearer }, signal, credentials: "same-origin" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Refused(0, "Shipwatch does not answer", "It may be restarting. This page goes on by itself once it is back.");
    }
    if (response.status !== 401 || tries > 2) return response;
    // Another request may have been given a token meanwhile.
    if (token() === mine && !(await ask(Boolean(mine)))) return response;
  }
}

/** JSON of a path; `also` are statuses besides 2xx whose body is the answer too. */
export async function get(path, params, { signal, also = [] } = {}) {
  const response = await request(address(path, params), { signal });
  const body = await response.json().catch(() => null);
  if (response.ok || also.includes(response.status)) return body;
  throw new Refused(response.status, body?.error ?? `answered ${response.status}`, body?.details);
}

/** A segment of a path. */
export const segment = encodeURIComponent;
