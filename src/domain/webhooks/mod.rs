//! Webhooks out: which requests an event causes, as a team's `webhook.yaml` says. Only read and rendered here, never sent.
//!
//! # The file
//!
//! `apiVersion: webhookconfig.keptn.sh/v1beta1`, `kind: WebhookConfig`, `metadata: {name}`, `spec: {webhooks: […]}`, as Keptn has it.
//! In `v1alpha1` each request is a curl command in one text; it is read into the same request, and no shell runs. A webhook has
//!
//! | key | meaning |
//! |---|---|
//! | `type` | event type; `*` is one word, a `>` at the end the rest; none that begins with `$` or `_INBOX` |
//! | `subscriptionID` | its stable name; of several with one id the most specific filter counts: service, stage, project, none |
//! | `name` | its stable name where it has no `subscriptionID`, and in messages; without either it is the type, `/2` for the second one |
//! | `filter` | `project`, `stage`, `service`, `result`, `status`: lists, any of; `labels`: all of them; Keptn's `projects`, `stages`, `services` |
//! | `sendStarted` | default true |
//! | `sendFinished` | default false: whoever is called sends the `finished` |
//! | `envFrom` | `[{name, secretRef: {name, key}}]`, in templates `.env.<name>`; `.secret.<name>.<key>` needs none |
//! | `timeout`, `retries`, `followRedirects`, `maxResponse`, `proxy` | of each request; `30s`, a number, a number (0), `1MiB`, a URL |
//! | `requests` | one after the other |
//!
//! and a request `method`, `url`, `headers: [{key, value}]`, `payload`, `options` (curl's, in one text) and `extract: {field: "$.path"}`.
//!
//! The two flags are about `sh.keptn.event.<task>.triggered` alone. Events of other types, `.started` and `.finished` among them, are
//! never answered, whatever the flags say.
//!
//! # Curl commands
//!
//! Read are `-X -H -d --data-raw --data-binary --data-ascii --json -u --oauth2-bearer -x -L --max-redirs -m --retry --max-filesize
//! -G -I --url -A -e -b` and their long names, short ones also together (`-sSL`). `-s -S -f --fail-with-body -v -i --compressed`
//! and the like change nothing. What reads or writes files is refused, as is `-k`: certificates are always verified. Words are
//! split as a shell does; `$(…)`, backticks, `|`, `;` and `>` are plain text, and an action `{{…}}` is one piece whatever stands in it.
//! In `options`, beside a `method`, neither `-X` nor `-G` nor `-I` may stand, and neither data nor a URL.
//! What a command says of timeout, retries, redirects, size and proxy goes before what its webhook says.
//!
//! # Templates
//!
//! URL, header values, payload and proxy are templates ([`super::gotemplate`]) over the whole event, with `.env`, `.secret` and, where
//! somebody else sends the `finished`, `.callback.url`, `.callback.passUrl` and `.callback.failUrl`.
//!
//! - *Payload*. With a content type of JSON, or none and a text that begins as JSON does, values are escaped for JSON, and what
//!   comes out is checked to be JSON. A form (`name=value`) has its values percent-encoded. Everything else is text as it stands.
//!   The content type, where none is given, is accordingly `application/json`, `application/x-www-form-urlencoded` or
//!   `text/plain; charset=utf-8`. A payload that is a YAML tree is JSON whose texts are templates; a text that is nothing but
//!   one action keeps the kind of its value: `count: "{{.data.count}}"` is a number.
//! - *URL*. What the event gives stays in its place, see [`Format::Url`](super::gotemplate::Format::Url); a path that came out with
//!   `.` or `..` is an error.
//! - *Headers*. A value with a line break or another control character is an error.

mod build;
mod curl;
mod extract;
mod filter;
mod payload;
mod place;
mod read;
mod request;
mod subscription;
#[cfg(test)]
mod tests;
mod url;
mod words;

pub use filter::Filter;
pub use request::{Prepared, Request, Sending};

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::call::Replies;
use super::event::Event;
use super::gotemplate::Kind;
use super::keptn;
use super::rules::{Problem, Subject};

/// The file, in the shipyard folder.
pub const FILE: &str = "webhook.yaml";

/// All webhooks of a team. Cheap to clone; by default none.
#[derive(Clone, Debug, Default)]
pub struct Webhooks {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    all: Vec<Webhook>,
    /// By type, where it is one without wildcards.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// The others.
    wild: Vec<usize>,
    /// In the order of the file.
    subscriptions: HashMap<Arc<str>, Vec<usize>>,
}

/// One webhook.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// Its stable name; those that share a `subscriptionID` share it.
    pub subscription: Arc<str>,
    /// What people call it: its name, else the subscription.
    pub name: Arc<str>,
    /// The line it begins at.
    pub line: u32,
    /// Which events.
    pub ty: Subject,
    /// Which of them.
    pub filter: Filter,
    /// Whether a trigger is answered `started`.
    pub send_started: bool,
    /// Whether a trigger is answered `finished`.
    pub send_finished: bool,
    /// Secrets under the names of `.env`.
    pub env: Vec<(Arc<str>, SecretRef)>,
    /// How requests are sent that say nothing else.
    pub sending: Sending,
    /// What is sent, one after the other.
    pub requests: Vec<Request>,
}

/// A secret that a webhook names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// Folder in the secrets directory.
    pub name: Arc<str>,
    /// File in that folder.
    pub key: Arc<str>,
    /// The line that names it.
    pub line: u32,
}

impl Webhooks {
    /// Reads a file.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn compile(file: &str, text: &str) -> Result<Webhooks, Vec<Problem>> {
        read::read(file, text).map(Webhooks::of)
    }

    fn of(all: Vec<Webhook>) -> Webhooks {
        let mut inner = Inner::default();
        for (n, webhook) in all.iter().enumerate() {
            if webhook.is_exact() {
                inner.exact.entry(webhook.ty.as_str().into()).or_default().push(n);
            } else {
                inner.wild.push(n);
            }
            inner.subscriptions.entry(webhook.subscription.clone()).or_default().push(n);
        }
        inner.all = all;
        Webhooks { inner: Arc::new(inner) }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.inner.all.is_empty()
    }

    /// In the order of the file.
    pub fn all(&self) -> &[Webhook] {
        &self.inner.all
    }

    /// The NATS subjects of all types, none of which overlaps another.
    pub fn subjects(&self) -> Vec<Subject> {
        Subject::disjoint(self.inner.all.iter().map(|webhook| webhook.ty.clone()).collect())
    }

    /// The webhooks to call for an event, in the order of the file; of those of one subscription the most specific.
    pub fn matching(&self, event: &Event) -> Vec<&Webhook> {
        let mut found: Vec<usize> = self.inner.exact.get(event.ty.as_str()).cloned().unwrap_or_default();
        found.extend(self.inner.wild.iter().copied().filter(|n| self.inner.all[*n].ty.matches(&event.ty)));
        found.retain(|n| self.inner.all[*n].filter.admits(event));
        found.sort_unstable();
        let counts = |n: &usize| {
            let webhook = &self.inner.all[*n];
            let alone = self.inner.subscriptions.get(&webhook.subscription).is_none_or(|list| list.len() == 1);
            alone || self.of_subscription(&webhook.subscription, event).is_some_and(|best| std::ptr::eq(best, webhook))
        };
        found.iter().filter(|n| counts(n)).map(|n| &self.inner.all[*n]).collect()
    }

    /// The webhook of a subscription; of several the first.
    pub fn get(&self, subscription: &str) -> Option<&Webhook> {
        self.inner.subscriptions.get(subscription)?.first().map(|n| &self.inner.all[*n])
    }

    /// The webhook of a subscription that counts for an event; none where it has none for it.
    pub fn of_subscription(&self, subscription: &str, event: &Event) -> Option<&Webhook> {
        let all = self.inner.subscriptions.get(subscription)?.iter().map(|n| &self.inner.all[*n]);
        let fit = all.filter(|webhook| webhook.matches(event));
        // The first of the best.
        fit.reduce(|best, next| if next.filter.rank() > best.filter.rank() { next } else { best })
    }

    /// Whether a sequence that triggers a task hears of it through one of them, for some project, stage and service at least.
    pub fn answer(&self, task: &str) -> bool {
        let ty = format!("sh.keptn.event.{task}.triggered");
        self.inner.all.iter().any(|webhook| webhook.ty.matches(&ty) && webhook.replies() != Replies::None)
    }

    /// Every secret that any webhook names; one may come more than once.
    pub fn secrets(&self) -> impl Iterator<Item = SecretRef> {
        self.inner.all.iter().flat_map(Webhook::secrets)
    }
}

impl Webhook {
    /// Whether an event is one for it.
    pub fn matches(&self, event: &Event) -> bool {
        self.ty.matches(&event.ty) && self.filter.admits(event)
    }

    /// What the sequence is told about a trigger.
    pub fn replies(&self) -> Replies {
        match (self.send_started, self.send_finished) {
            (true, true) => Replies::Both,
            (true, false) => Replies::Started,
            // The pair that hangs a sequence was refused.
            (false, _) => Replies::None,
        }
    }

    /// Whether any template uses `.callback`.
    pub fn uses_callback(&self) -> bool {
        self.requests.iter().any(|request| request.named().any(|named| named.kind == Kind::Callback))
    }

    /// The secrets it names, by `envFrom` and by `.secret`; one may come more than once.
    pub fn secrets(&self) -> impl Iterator<Item = SecretRef> {
        let by_env = self.env.iter().map(|(_, secret)| secret.clone());
        by_env.chain(self.requests.iter().flat_map(Request::secrets))
    }

    fn is_exact(&self) -> bool {
        !self.ty.as_str().split('.').any(|word| matches!(word, "*" | ">"))
    }
}

/// Whether an event is one that `sendStarted` and `sendFinished` are about: a task that was triggered.
pub fn is_answered(event: &Event) -> bool {
    use keptn::{Phase::Triggered, Type};
    matches!(Type::parse(&event.ty), Some(Type::Task { phase: Triggered, .. }))
}

/// What templates are rendered over: an event, and what the operator gives, `env` by name, `secret` by name and key.
pub fn root(event: &Event, env: Map<String, Value>, secret: Map<String, Value>, callback: Map<String, Value>) -> Value {
    let mut root = event.to_value();
    for (kind, value) in [(Kind::Env, env), (Kind::Secret, secret), (Kind::Callback, callback)] {
        root[kind.word()] = Value::Object(value);
    }
    root
}
