// Server-sent events out of a stream of bytes. EventSource would do it, but cannot send a token.

/** Reads events from a `ReadableStream` until it ends: `{ event, data, id }`, with the id that held when each came. */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  let name = "";
  let data = [];
  let id;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += value;
      let end;
      while ((end = text.search(/\r\n|\n|\r(?!$)/)) >= 0) {
        const line = text.slice(0, end);
        text = text.slice(end + (text.startsWith("\r\n", end) ? 2 : 1));
        if (line === "") {
          if (data.length) yield { event: name || "message", data: data.join("\n"), id };
          name = "";
          data = [];
          continue;
        }
        const colon = line.indexOf(":");
        const field = colon < 0 ? line : line.slice(0, colon);
        const rest = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
        if (field === "event") name = rest;
        else if (field === "data") data.push(rest);
        else if (field === "id" && !rest.includes("\0")) id = rest;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
