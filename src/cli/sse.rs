//! Server-sent events, as far as the service sends them.

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Its name.
    pub event: String,
    /// What it carries.
    pub data: String,
}

/// Reads a stream of them, whatever pieces it comes in.
#[derive(Debug, Default)]
pub(super) struct Reader {
    line: Vec<u8>,
    next: Sent,
    next_id: Option<String>,
    last_id: Option<String>,
}

impl Reader {
    /// Goes on behind an id.
    pub fn behind(last_id: Option<String>) -> Reader {
        Reader { last_id, ..Reader::default() }
    }

    /// The id of the last event that came whole, also of one that carries nothing.
    pub fn last_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The events that a piece completes.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<Sent> {
        let mut events = Vec::new();
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.line);
            events.extend(self.take(String::from_utf8_lossy(&line).trim_end_matches('\r')));
        }
        self.line.extend_from_slice(rest);
        events
    }

    fn take(&mut self, line: &str) -> Option<Sent> {
        if line.is_empty() {
            // Not before: half of an event is sent again.
            self.last_id = self.next_id.take().or(self.last_id.take());
            let sent = std::mem::take(&mut self.next);
            return (!sent.data.is_empty()).then_some(sent);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.next.event),
            "id" => self.next_id = Some(value.to_owned()),
            "data" => {
                if !self.next.data.is_empty() {
                    self.next.data.push('\n');
                }
                self.next.data.push_str(value);
            }
            // A comment, which only says that the service lives, or something that is not for us.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_whole_out_of_any_pieces() {
        let text =
            ": watching\nid: 0-0\n\nid: 1-1\nevent: opened\ndata: {\"a\":\ndata:\"ä\"}\r\n\nid: 7-0\n\nevent: x\n\n";
        for size in [1, 2, 7, 1000] {
            let mut reader = Reader::default();
            let events: Vec<Sent> = text.as_bytes().chunks(size).flat_map(|piece| reader.feed(piece)).collect();
            assert_eq!(events, [Sent { event: "opened".into(), data: "{\"a\":\n\"ä\"}".into() }]);
            assert_eq!(reader.last_id(), Some("7-0"));
            reader.feed(b"id: 9-0\ndata: half");
            assert_eq!(reader.last_id(), Some("7-0"));
        }
    }
}
