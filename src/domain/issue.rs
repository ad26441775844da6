//! What an issue is: its key, its state, and the JSON that users read.

use std::sync::Arc;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::ids::{self, KeyId, Position, ScopeId};
use super::time::Time;

/// How bad an issue is. Ordered: `Info` is the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// A warning.
    Minor,
    /// The default of a failure.
    Major,
    /// The worst.
    Critical,
}

/// What kind of work is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum IssueType {
    /// A build.
    Build,
    /// A test or an evaluation.
    Test,
    /// A deployment, release or rollback.
    Release,
    /// A dependency update.
    Dependency,
    /// Anything else that runs in a pipeline.
    Pipeline,
}

/// Whether the thing is broken now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum State {
    /// Broken now.
    Active,
    /// Was broken, and the success that fixed it has been seen.
    Resolved,
}

macro_rules! words {
    ($($ty:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        impl $ty {
            /// All values, in order.
            pub const ALL: &'static [$ty] = &[$($ty::$variant),*];

            /// The word as users write and read it.
            pub const fn as_str(self) -> &'static str {
                match self { $($ty::$variant => $word),* }
            }

            /// Reads the word, in any letter case.
            pub fn parse(text: &str) -> Option<$ty> {
                $(if text.eq_ignore_ascii_case($word) { return Some($ty::$variant); })*
                None
            }
        }
        impl fmt::Display for $ty {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    )*};
}
words! {
    Severity { Info = "info", Minor = "minor", Major = "major", Critical = "critical" }
    IssueType { Build = "build", Test = "test", Release = "release", Dependency = "dependency", Pipeline = "pipeline" }
    State { Active = "ACTIVE", Resolved = "RESOLVED" }
    ChangeKind { Opened = "opened", Updated = "updated", Reopened = "reopened", Resolved = "resolved", Withdrawn = "withdrawn" }
}

/// The broken thing: three words, as Kite has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scope {
    /// For example `component`, `sequence`, `pipelinerun`.
    pub resource_type: String,
    /// For example the service.
    pub resource_name: String,
    /// For example `<project>-<stage>`.
    pub resource_namespace: String,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.resource_type, self.resource_name, self.resource_namespace)
    }
}

/// What makes an issue that issue and no other. There is one issue per key for ever.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Owner; what access control goes by.
    pub namespace: String,
    /// The broken thing.
    pub scope: Scope,
    /// What kind of work is broken.
    pub issue_type: IssueType,
    /// Which check found it, for example the Keptn task.
    pub check: String,
    /// Keptn project, or empty. Part of the key: `a-b`/`c` and `a`/`b-c` share a namespace and are different things.
    pub project: String,
    /// Keptn stage, or empty.
    pub stage: String,
}

impl Key {
    /// The id of the issue with this key.
    pub fn id(&self) -> KeyId {
        let Scope { resource_type, resource_name, resource_namespace } = &self.scope;
        KeyId(ids::derive(
            "issue",
            &[
                &self.namespace,
                resource_type,
                resource_name,
                resource_namespace,
                self.issue_type.as_str(),
                &self.check,
                &self.project,
                &self.stage,
            ],
        ))
    }

    /// The id of the scope of this key.
    pub fn scope_id(&self) -> ScopeId {
        scope_id(&self.scope, &self.project, &self.stage)
    }
}

/// The id of a scope; project and stage count where given, as they do in the key.
pub fn scope_id(scope: &Scope, project: &str, stage: &str) -> ScopeId {
    let Scope { resource_type, resource_name, resource_namespace } = scope;
    ScopeId(ids::derive("scope", &[resource_type, resource_name, resource_namespace, project, stage]))
}

/// An event, by the two attributes that identify it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Origin {
    /// `source` of the event.
    pub source: String,
    /// `id` of the event.
    pub id: String,
}

/// A link to logs, a dashboard, a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// What a person reads.
    pub title: String,
    /// Where it leads; never empty.
    pub url: String,
}

/// An issue as stored. What is in the [`Key`] is not repeated here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Issue {
    /// Position in the order of opening; never used again.
    pub number: u64,
    /// Broken now or not.
    pub state: State,
    /// How bad.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// As much as the event says.
    pub description: String,
    /// Where to look.
    pub links: Vec<Link>,
    /// Time of the failure that opened this episode.
    pub detected_at: Time,
    /// Time of the success that ended it.
    pub resolved_at: Option<Time>,
    /// Stream time of the first event.
    pub created_at: Time,
    /// Stream time of the last change.
    pub updated_at: Time,
    /// Failures of all episodes.
    pub occurrences: u64,
    /// How often it broke after having been whole.
    pub episodes: u64,
    /// Time of the newest failure.
    pub last_seen_at: Time,
    /// Run of the newest failure.
    pub last_run: String,
    /// `shkeptncontext` of the newest failure, or empty.
    pub context: String,
    /// `triggeredid` of the newest failure, or empty.
    pub triggered_id: String,
    /// Keptn service, or empty.
    pub service: String,
    /// Labels of the newest failure, and those set by `update-issue`.
    pub labels: BTreeMap<String, String>,
    /// Name of the rule that spoke last.
    pub rule: String,
    /// The failure that opened this episode.
    pub opened_by: Origin,
    /// The success that ended it; none while active.
    pub resolved_by: Option<Origin>,
    /// Run of the success that ended it, so that a failure of the same run can take it back.
    pub resolved_run: Option<String>,
}

/// The newest word on a key: what an older event is late against.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Newest {
    /// Time of the newest decisive event of `run`.
    pub at: Time,
    /// Where that event stands; breaks ties of `at`.
    pub position: Position,
    /// The run.
    pub run: String,
    /// What the run came to.
    pub outcome: Outcome,
    /// Stream time of that event; records without an issue are forgotten by it.
    pub seen: Time,
}

/// What an event says about the thing it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Changes no issue.
    Neutral,
    /// Whole.
    Success,
    /// Broken a little.
    Warning,
    /// Broken.
    Failure,
}

impl Outcome {
    /// The word as users write and read it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Neutral => "neutral",
            Outcome::Success => "success",
            Outcome::Warning => "warning",
            Outcome::Failure => "failure",
        }
    }

    /// Outcomes of one run merge to the worst of them.
    pub fn merge(self, other: Outcome) -> Outcome {
        self.max(other)
    }

    /// Whether an issue is open after this outcome.
    pub fn is_broken(self) -> bool {
        matches!(self, Outcome::Warning | Outcome::Failure)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The part of a key's record that events change. A record exists from the first success or failure on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Marks {
    /// The newest run that said success, warning or failure.
    pub newest: Option<Newest>,
    /// The issue, once there was one.
    pub issue: Option<Issue>,
}

/// Everything kept for one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyState {
    /// The key.
    pub key: Key,
    /// What events change. Shared, as a change remembers what was before.
    pub marks: Arc<Marks>,
}

/// Everything kept for one scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScopeState {
    /// The scope.
    pub scope: Scope,
    /// Keptn project, or empty.
    pub project: String,
    /// Keptn stage, or empty.
    pub stage: String,
    /// The keys in this scope, in order of appearance.
    pub keys: Vec<KeyId>,
    /// The newest success for the whole scope; failures of any check that are older are late.
    pub success: Option<Newest>,
}

/// What a change did to an issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It did not exist before.
    Opened,
    /// Active before and after.
    Updated,
    /// Resolved before, active now.
    Reopened,
    /// Active before, resolved now.
    Resolved,
    /// The only failure behind it was invalidated: it is as if it had never been.
    Withdrawn,
}

/// The JSON of an issue (contract section 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Issue)]
pub struct View {
    /// UUIDv5 of the key.
    pub id: Uuid,
    /// One line.
    pub title: String,
    /// As much as the event says.
    pub description: String,
    /// How bad.
    pub severity: Severity,
    /// What kind of work is broken.
    pub issue_type: IssueType,
    /// Broken now or not.
    pub state: State,
    /// Time of the failure that opened this episode.
    #[schema(value_type = String, format = DateTime)]
    pub detected_at: Time,
    /// Time of the success that ended it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub resolved_at: Option<Time>,
    /// Owner.
    pub namespace: String,
    /// UUIDv5 of the scope.
    pub scope_id: Uuid,
    /// The broken thing.
    pub scope: ScopeView,
    /// Where to look.
    pub links: Vec<LinkView>,
    /// Relations to newer issues of the same scope or context.
    pub related_from: Vec<Related>,
    /// Relations to older issues of the same scope or context.
    pub related_to: Vec<Related>,
    /// Stream time of the first event.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// Stream time of the last change.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
    /// Position in the order of opening.
    pub number: u64,
    /// Which check found it.
    pub check: String,
    /// Failures of all episodes.
    pub occurrences: u64,
    /// How often it broke.
    pub episodes: u64,
    /// Time of the newest failure.
    #[schema(value_type = String, format = DateTime)]
    pub last_seen_at: Time,
    /// Run of the newest failure.
    pub last_run_id: String,
    /// `shkeptncontext` of the newest failure.
    pub keptn_context: String,
    /// `triggeredid` of the newest failure.
    pub triggered_id: String,
    /// Keptn project, or empty.
    pub project: String,
    /// Keptn stage, or empty.
    pub stage: String,
    /// Keptn service, or empty.
    pub service: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Name of the rule that spoke last.
    pub rule: String,
    /// The failure that opened this episode.
    pub opened_by: Origin,
    /// The success that ended it; null while active.
    pub resolved_by: Option<Origin>,
}

/// The JSON of a scope.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = IssueScope)]
pub struct ScopeView {
    /// UUIDv5 of the scope.
    pub id: Uuid,
    /// For example `component`.
    pub resource_type: String,
    /// For example the service.
    pub resource_name: String,
    /// For example `<project>-<stage>`.
    pub resource_namespace: String,
}

/// The JSON of a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Link)]
pub struct LinkView {
    /// UUIDv5 of issue and URL.
    pub id: Uuid,
    /// What a person reads.
    pub title: String,
    /// Where it leads.
    pub url: String,
    /// The issue.
    pub issue_id: Uuid,
}

/// A relation between two issues, from the older to the newer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = RelatedIssue)]
pub struct Related {
    /// UUIDv5 of both ids.
    pub id: Uuid,
    /// The older issue.
    pub source_id: Uuid,
    /// The newer issue.
    pub target_id: Uuid,
    /// The issue at the other end.
    pub issue: RelatedEnd,
}

/// The far end of a relation, in short.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RelatedEnd {
    /// UUIDv5 of the key.
    pub id: Uuid,
    /// Position in the order of opening.
    pub number: u64,
    /// One line.
    pub title: String,
    /// Broken now or not.
    pub state: State,
    /// How bad.
    pub severity: Severity,
    /// What kind of work is broken.
    pub issue_type: IssueType,
    /// The broken thing.
    pub scope: ScopeView,
}

impl Key {
    /// The JSON of this key's scope.
    pub fn scope_view(&self) -> ScopeView {
        let Scope { resource_type, resource_name, resource_namespace } = self.scope.clone();
        ScopeView { id: self.scope_id().0, resource_type, resource_name, resource_namespace }
    }
}

impl Issue {
    /// The JSON of this issue, without its relations, which depend on other issues.
    pub fn view(&self, key: &Key) -> View {
        let id = key.id().0;
        let issue = self.clone();
        let links = issue.links.into_iter().map(|Link { title, url }| LinkView {
            id: ids::derive("link", &[&id.to_string(), &title, &url]),
            title,
            url,
            issue_id: id,
        });
        View {
            id,
            title: issue.title,
            description: issue.description,
            severity: issue.severity,
            issue_type: key.issue_type,
            state: issue.state,
            detected_at: issue.detected_at,
            resolved_at: issue.resolved_at,
            namespace: key.namespace.clone(),
            scope_id: key.scope_id().0,
            scope: key.scope_view(),
            links: links.collect(),
            related_from: Vec::new(),
            related_to: Vec::new(),
            created_at: issue.created_at,
            updated_at: issue.updated_at,
            number: issue.number,
            check: key.check.clone(),
            occurrences: issue.occurrences,
            episodes: issue.episodes,
            last_seen_at: issue.last_seen_at,
            last_run_id: issue.last_run,
            keptn_context: issue.context,
            triggered_id: issue.triggered_id,
            project: key.project.clone(),
            stage: key.stage.clone(),
            service: issue.service,
            labels: issue.labels,
            rule: issue.rule,
            opened_by: issue.opened_by,
            resolved_by: issue.resolved_by,
        }
    }

    /// The far end of a relation to this issue.
    pub fn related_end(&self, key: &Key) -> RelatedEnd {
        RelatedEnd {
            id: key.id().0,
            number: self.number,
            title: self.title.clone(),
            state: self.state,
            severity: self.severity,
            issue_type: key.issue_type,
            scope: key.scope_view(),
        }
    }
}
