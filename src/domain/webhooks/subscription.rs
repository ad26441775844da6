//! The stable name of each webhook, under which its answers and deliveries are known.

use std::collections::HashMap;
use std::sync::Arc;

use crate::domain::yaml::problem::{At, Problems};
use crate::domain::yaml::{Kind, Node};

/// What a webhook may take its name from.
pub struct Named {
    at: At,
    id: Option<(At, String)>,
    name: Option<(At, String)>,
    ty: String,
}

impl Named {
    /// Looks without judging; the reader notes what is wrong with a field.
    pub fn of(node: &Node) -> Named {
        let text = |key: &str| {
            let Kind::Map(map) = &node.kind else { return None };
            let (_, value) = map.iter().rfind(|(k, _)| k.name == key)?;
            match &value.kind {
                Kind::Text(text) => Some((value.at, text.clone())),
                Kind::Number(_, spelled) => Some((value.at, spelled.clone())),
                Kind::Bool(b) => Some((value.at, b.to_string())),
                Kind::Null | Kind::List(_) | Kind::Map(_) => None,
            }
        };
        let ty = text("type").map(|(_, ty)| ty).unwrap_or_default();
        Named { at: node.at, id: text("subscriptionID"), name: text("name"), ty }
    }
}

/// The stable name of each. Only webhooks with the same `subscriptionID` share one.
pub fn subscriptions(all: &[Named], problems: &mut Problems) -> Vec<Arc<str>> {
    // Who has a name, and whether by `subscriptionID`.
    let mut taken: HashMap<Arc<str>, (At, bool)> = HashMap::new();
    let mut types: HashMap<&str, usize> = HashMap::new();
    let mut names = Vec::with_capacity(all.len());
    for webhook in all {
        let (at, stable): (At, Arc<str>) = match (&webhook.id, &webhook.name) {
            (Some((at, word)), _) | (None, Some((at, word))) => (*at, word.as_str().into()),
            (None, None) => {
                let count = types.entry(&webhook.ty).or_default();
                *count += 1;
                let stable = if *count == 1 { webhook.ty.clone() } else { format!("{}/{count}", webhook.ty) };
                (webhook.at, stable.into())
            }
        };
        for (at, word) in webhook.id.iter().chain(&webhook.name) {
            if word.trim().is_empty() || word.len() > 200 || word.chars().any(char::is_control) {
                problems.add(*at, "name of a webhook is empty, too long or holds a control character");
            }
        }
        let by_id = webhook.id.is_some();
        match taken.get(&stable) {
            Some((first, first_by_id)) if !(by_id && *first_by_id) => {
                let line = first.line;
                let message = format!("{stable:?} is already the name of the webhook of line {line}");
                problems.suggest(at, message, "only webhooks with the same subscriptionID share a name");
            }
            Some(_) => {}
            None => {
                taken.insert(stable.clone(), (at, by_id));
            }
        }
        names.push(stable);
    }
    names
}
