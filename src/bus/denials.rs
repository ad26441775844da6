//! What the broker denies us: said once for each right, since the same is tried again and again.

use std::collections::HashSet;

use parking_lot::Mutex;

/// So many different rights are told apart; whoever lacks more has read enough.
const MOST: usize = 64;

/// The rights of which it was said that they are missing.
#[derive(Debug, Default)]
pub(super) struct Denials {
    said: Mutex<HashSet<String>>,
}

impl Denials {
    /// The right that is missing, where the broker's text is about one and nothing was said of it yet.
    pub(super) fn news(&self, text: &str) -> Option<String> {
        let missing = right(text)?;
        let mut said = self.said.lock();
        (said.len() < MOST && said.insert(missing.clone())).then_some(missing)
    }
}

/// `publish on "a.b"`: none where whoever asked tells it in words of its own, which is so for requests of the JetStream API
/// except the client's pulls, and for the inbox where their answers come.
fn right(text: &str) -> Option<String> {
    let (before, rest) = text.split_once('"')?;
    let (subject, _) = rest.split_once('"')?;
    let verb = match before.to_ascii_lowercase() {
        words if words.contains("publish") => "publish on",
        words if words.contains("subscription") => "subscribe to",
        _ => return None,
    };
    let tokens: Vec<&str> = subject.split('.').collect();
    let subject = match tokens.as_slice() {
        [inbox, ..] if inbox.starts_with("_INBOX") => return None,
        [_, .., "CONSUMER", "MSG", "NEXT", _, _] => subject.to_owned(),
        // What follows differs from message to message.
        ["$JS", "ACK", stream, consumer, ..] => format!("$JS.ACK.{stream}.{consumer}.>"),
        ["$JS", ..] => return None,
        ["shipwatch", "feedback", ..] => "shipwatch.feedback.>".to_owned(),
        _ => subject.to_owned(),
    };
    Some(format!("{verb} \"{subject}\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_missing_right_is_news_once() {
        let denials = Denials::default();
        let publish = |subject: &str| denials.news(&format!("Permissions Violation for Publish to \"{subject}\""));
        assert_eq!(publish("sh.keptn.event.a.started").as_deref(), Some("publish on \"sh.keptn.event.a.started\""));
        assert_eq!(publish("sh.keptn.event.a.started"), None);
        assert_eq!(publish("$JS.ACK.s.c.1.2.3.4.5").as_deref(), Some("publish on \"$JS.ACK.s.c.>\""));
        assert_eq!(publish("$JS.ACK.s.c.1.3.4.5.6"), None);
        assert!(publish("$JS.API.CONSUMER.MSG.NEXT.s.c").is_some());
        assert!(publish("shipwatch.feedback.a.b").is_some() && publish("shipwatch.feedback.c.d").is_none());
        let heard = denials.news("Permissions Violation for Subscription to \"shipwatch.ask.callback\"");
        assert_eq!(heard.as_deref(), Some("subscribe to \"shipwatch.ask.callback\""));
    }

    #[test]
    fn what_the_asker_tells_itself_and_what_is_no_denial_is_not_news() {
        let denials = Denials::default();
        for subject in ["$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.s", "$JS.hub.API.CONSUMER.INFO.s.c", "_INBOX.a.*"] {
            for verb in ["Publish", "Subscription"] {
                assert_eq!(
                    denials.news(&format!("Permissions Violation for {verb} to \"{subject}\"")),
                    None,
                    "{subject}"
                );
            }
        }
        assert_eq!(denials.news("permissions violation"), None);
        assert_eq!(denials.news("Permissions Violation for Publish to \"x"), None);
    }

    #[test]
    fn the_number_of_rights_told_apart_is_bounded() {
        let denials = Denials::default();
        let told = (0..1000).filter(|n| denials.news(&format!("Violation for Publish to \"a.{n}\"")).is_some()).count();
        assert_eq!(told, MOST);
    }
}
