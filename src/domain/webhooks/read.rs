//! Reads `webhook.yaml`: one pass, every mistake noted.

use std::str::FromStr;
use std::sync::Arc;

use super::build::{Builder, is_plain};
use super::filter::Filter;
use super::place::Lines;
use super::request::Sending;
use super::subscription::{Named, subscriptions};
use super::{SecretRef, Webhook};
use crate::domain::rules::{Problem, Subject};
use crate::domain::yaml::fields::{Fields, Text};
use crate::domain::yaml::problem::{At, Problems};
use crate::domain::yaml::{self, Kind, Node};
use crate::units::{Size, Span};

const ALPHA: &str = "webhookconfig.keptn.sh/v1alpha1";
const BETA: &str = "webhookconfig.keptn.sh/v1beta1";

/// More in one file is a mistake.
const MOST_WEBHOOKS: usize = 10_000;
/// More of one webhook is a mistake too.
const MOST_REQUESTS: usize = 100;
/// Retries and redirects beyond this help nobody.
const MOST_TRIES: u64 = 20;

/// Reads a file.
pub fn read(file: &str, source: &str) -> Result<Vec<Webhook>, Vec<Problem>> {
    let mut problems = Problems::of(file.into());
    let webhooks = yaml::read(source, &mut problems).and_then(|node| {
        let mut reader = Reader { lines: Lines::of(source), problems: &mut problems, is_curl: false };
        reader.file(&node)
    });
    let problems = problems.into_list();
    if problems.is_empty() { Ok(webhooks.unwrap_or_default()) } else { Err(problems) }
}

struct Reader<'r> {
    lines: Lines<'r>,
    problems: &'r mut Problems,
    is_curl: bool,
}

impl Reader<'_> {
    fn file(&mut self, node: &Node) -> Option<Vec<Webhook>> {
        let mut f = Fields::of(node, "webhook file", self.problems)?;
        let version = f.require_text("apiVersion", self.problems);
        if let Some(version) = &version
            && ![ALPHA, BETA].contains(&version.text.as_str())
        {
            self.problems.unknown(version.at, "apiVersion", &version.text, &[BETA, ALPHA]);
        }
        self.is_curl = version.is_some_and(|version| version.text == ALPHA);
        if let Some(kind) = f.require_text("kind", self.problems)
            && !["WebhookConfig", "Webhook"].contains(&kind.text.as_str())
        {
            self.problems.unknown(kind.at, "kind", &kind.text, &["WebhookConfig"]);
        }
        if let Some(mut metadata) = f.get("metadata").and_then(|n| Fields::of(n, "metadata", self.problems)) {
            for key in ["name", "description", "labels", "annotations"] {
                metadata.get(key);
            }
            metadata.finish(self.problems);
        }
        let spec = f.require("spec", self.problems);
        f.finish(self.problems);
        let mut spec = Fields::of(spec?, "spec", self.problems)?;
        let list = spec.require("webhooks", self.problems);
        spec.finish(self.problems);
        let list = self.list(list?, "webhooks", MOST_WEBHOOKS)?;
        let named: Vec<Named> = list.iter().map(Named::of).collect();
        let names = subscriptions(&named, self.problems);
        let webhooks = list.iter().zip(names).map(|(node, subscription)| self.webhook(node, subscription));
        let webhooks: Vec<Option<Webhook>> = webhooks.collect();
        webhooks.into_iter().collect()
    }

    /// The items of a list that is not empty.
    fn list<'n>(&mut self, node: &'n Node, what: &str, most: usize) -> Option<&'n [Node]> {
        let Kind::List(list) = &node.kind else {
            self.problems.add(node.at, format!("{what} is {}, not a list", node.kind_word()));
            return None;
        };
        if list.is_empty() {
            self.problems.add(node.at, format!("{what} is an empty list"));
        }
        if list.len() > most {
            self.problems.add(node.at, format!("{} {what} are over the limit of {most}", list.len()));
            return None;
        }
        Some(list)
    }

    fn webhook(&mut self, node: &Node, subscription: Arc<str>) -> Option<Webhook> {
        let mut f = Fields::of(node, "webhook", self.problems)?;
        let at = f.at();
        let ty = f.require_text("type", self.problems);
        f.text("subscriptionID", self.problems);
        let name = f.text("name", self.problems);
        let filter = f.get("filter").map(|n| Filter::read(n, self.problems)).unwrap_or_default();
        let send_started = self.flag(&mut f, "sendStarted", true);
        let send_finished = self.flag(&mut f, "sendFinished", false);
        let env = self.env(&mut f);
        let mut sending = Sending {
            timeout: self.parsed::<Span>(&mut f, "timeout").map(|(at, span)| {
                if span.is_zero() {
                    self.problems.add(at, "timeout is no time at all");
                }
                span.get()
            }),
            retries: self.number(&mut f, "retries"),
            follow_redirects: self.number(&mut f, "followRedirects"),
            max_response: self.parsed::<Size>(&mut f, "maxResponse").map(|(_, size)| size.bytes()),
            proxy: None,
        };
        let proxy = f.text("proxy", self.problems);
        let requests = f.require("requests", self.problems);
        f.finish(self.problems);

        let no_callback = ty.as_ref().and_then(|ty| self.flags(ty, send_started, send_finished));
        let name: Arc<str> = name.map_or_else(|| subscription.clone(), |name| name.text.as_str().into());
        let mut builder = Builder {
            lines: &self.lines,
            problems: self.problems,
            env: &env,
            no_callback,
            sending: &Sending::default(),
            is_curl: self.is_curl,
            secrets: Vec::new(),
        };
        sending.proxy = proxy.and_then(|proxy| builder.webhook_proxy(&proxy));
        // The proxy goes with each request, and so do its secrets.
        let of_proxy = std::mem::take(&mut builder.secrets);
        let list = requests.and_then(|requests| self.list(requests, "requests", MOST_REQUESTS))?;
        let mut builder = Builder {
            lines: &self.lines,
            problems: self.problems,
            env: &env,
            no_callback,
            sending: &sending,
            is_curl: self.is_curl,
            secrets: Vec::new(),
        };
        let mut built = Vec::with_capacity(list.len());
        for (n, request) in list.iter().enumerate() {
            let label = match list.len() {
                1 => format!("webhook {name:?}"),
                _ => format!("webhook {name:?}, request {}", n + 1),
            };
            built.push(builder.request(request, label.into()).map(|mut request| {
                request.secrets.extend(of_proxy.iter().cloned());
                request
            }));
        }
        let requests = built.into_iter().collect::<Option<Vec<_>>>()?;
        let ty = self.ty(&ty?)?;
        let line = at.line;
        Some(Webhook { subscription, name, line, ty, filter, send_started, send_finished, env, sending, requests })
    }

    /// A type, without those whose delivery would cause the next one.
    fn ty(&mut self, text: &Text) -> Option<Subject> {
        let ty = match Subject::parse(&text.text) {
            Ok(ty) => ty,
            Err(why) => {
                self.problems.add(text.at, format!("type: {why}"));
                return None;
            }
        };
        // Inboxes and what the broker talks about itself: answers to others, never events.
        if ty.as_str().starts_with('$') || ty.as_str().starts_with("_INBOX") {
            self.problems.add(text.at, format!("type {:?} is a subject of the broker's own, no event type", text.text));
            return None;
        }
        let own = subject("dev.shipwatch.>")?;
        let free = ["dev.shipwatch.issue.>", "dev.shipwatch.webhook.>"];
        if ty.overlaps(&own) && !free.iter().filter_map(|free| subject(free)).any(|free| free.covers(&ty)) {
            self.problems.suggest(
                text.at,
                format!("type {:?} has events of Shipwatch itself, and a delivery would cause the next one", text.text),
                "of those only dev.shipwatch.issue.* and dev.shipwatch.webhook.* may be named",
            );
        }
        Some(ty)
    }

    /// Notes flags that leave a sequence hanging; says why there is no callback.
    fn flags(&mut self, ty: &Text, started: bool, finished: bool) -> Option<&'static str> {
        let pattern = Subject::parse(&ty.text).ok()?;
        let tasks = subject("sh.keptn.event.*.triggered")?;
        if pattern.overlaps(&tasks) && finished && !started {
            self.problems.suggest(
                ty.at,
                "sendFinished is true and sendStarted is false: a finished without a started leaves the sequence hanging",
                "sendStarted: true",
            );
        }
        if !tasks.covers(&pattern) {
            return Some("is for types sh.keptn.event.<task>.triggered alone");
        }
        (!started || finished).then_some("is for webhooks with sendStarted: true and sendFinished: false alone")
    }

    fn flag(&mut self, f: &mut Fields<'_>, key: &'static str, default: bool) -> bool {
        match f.get(key) {
            None => default,
            Some(Node { kind: Kind::Bool(b), .. }) => *b,
            Some(node) => {
                self.problems.add(node.at, format!("{key} is {}, not true or false", node.kind_word()));
                default
            }
        }
    }

    fn number(&mut self, f: &mut Fields<'_>, key: &'static str) -> Option<u32> {
        let node = f.get(key)?;
        let number = match &node.kind {
            Kind::Number(n, _) => n.as_u64().filter(|n| *n <= MOST_TRIES),
            _ => None,
        };
        if number.is_none() {
            self.problems.add(node.at, format!("{key} is not a number from 0 to {MOST_TRIES}"));
        }
        number.and_then(|n| u32::try_from(n).ok())
    }

    fn parsed<T: FromStr<Err: std::fmt::Display>>(&mut self, f: &mut Fields<'_>, key: &'static str) -> Option<(At, T)> {
        let text = f.text(key, self.problems)?;
        match text.text.parse() {
            Ok(value) => Some((text.at, value)),
            Err(e) => {
                self.problems.add(text.at, format!("{key}: {e}"));
                None
            }
        }
    }

    fn env(&mut self, f: &mut Fields<'_>) -> Vec<(Arc<str>, SecretRef)> {
        let mut env: Vec<(Arc<str>, SecretRef)> = Vec::new();
        for node in f.items("envFrom") {
            let Some(mut f) = Fields::of(node, "envFrom", self.problems) else { continue };
            let name = f.require_text("name", self.problems);
            let secret = f.require("secretRef", self.problems);
            f.finish(self.problems);
            let Some(mut f) = secret.and_then(|n| Fields::of(n, "secretRef", self.problems)) else { continue };
            let words = (f.require_text("name", self.problems), f.require_text("key", self.problems));
            f.finish(self.problems);
            let (Some(name), (Some(secret), Some(key))) = (name, words) else { continue };
            for word in [&secret, &key].into_iter().filter(|word| !is_plain(&word.text)) {
                self.problems.add(word.at, format!("{:?} is not one word of a path", word.text));
            }
            if env.iter().any(|(known, _)| **known == *name.text) {
                self.problems.add(name.at, format!("envFrom has {:?} twice", name.text));
            }
            let line = secret.at.line;
            let secret = SecretRef { name: secret.text.into(), key: key.text.into(), line };
            env.push((name.text.into(), secret));
        }
        env
    }
}

fn subject(text: &str) -> Option<Subject> {
    Subject::parse(text).ok()
}
