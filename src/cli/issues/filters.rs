//! Which issues: the same options for the list and for those who watch it.

use crate::cli::words::moment;

#[derive(Debug, clap::Args)]
pub(super) struct FilterArgs {
    /// Namespace; may be repeated or hold several, parted by commas, as the others
    #[arg(short, long, value_delimiter = ',')]
    namespace: Vec<String>,
    /// `active` or `resolved`
    #[arg(long, value_delimiter = ',', conflicts_with = "unresolved")]
    state: Vec<String>,
    /// Only what is broken now: `--state active`
    #[arg(short, long)]
    unresolved: bool,
    /// `info`, `minor`, `major` or `critical`
    #[arg(long, value_delimiter = ',')]
    severity: Vec<String>,
    /// `build`, `test`, `release`, `dependency` or `pipeline`
    #[arg(long = "type", value_delimiter = ',', value_name = "TYPE")]
    issue_type: Vec<String>,
    /// The check that failed, for example the Keptn task
    #[arg(long, value_delimiter = ',')]
    check: Vec<String>,
    /// Keptn project
    #[arg(long, value_delimiter = ',')]
    project: Vec<String>,
    /// Keptn stage
    #[arg(long, value_delimiter = ',')]
    stage: Vec<String>,
    /// Keptn service
    #[arg(long, value_delimiter = ',')]
    service: Vec<String>,
    /// Kind of the broken thing
    #[arg(long, value_delimiter = ',')]
    resource_type: Vec<String>,
    /// Name of the broken thing
    #[arg(long, value_delimiter = ',')]
    resource_name: Vec<String>,
    /// Namespace of the broken thing
    #[arg(long, value_delimiter = ',')]
    resource_namespace: Vec<String>,
    /// Keptn context
    #[arg(long, value_delimiter = ',')]
    context: Vec<String>,
    /// Label, as NAME=VALUE; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// Text in title or description
    #[arg(long)]
    search: Option<String>,
    /// Detected at or after: a time, or a span back from now like `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<String>,
    /// Detected before or at
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<String>,
    /// Changed at or after
    #[arg(long, value_name = "TIME", value_parser = moment)]
    updated_since: Option<String>,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl FilterArgs {
    /// As parameters of a request.
    pub fn query(&self) -> Vec<(String, String)> {
        let active = ["ACTIVE".to_owned()];
        let state = if self.unresolved { &active[..] } else { &self.state };
        let many: [(&str, &[String]); 12] = [
            ("namespace", &self.namespace),
            ("state", state),
            ("severity", &self.severity),
            ("issueType", &self.issue_type),
            ("check", &self.check),
            ("project", &self.project),
            ("stage", &self.stage),
            ("service", &self.service),
            ("resourceType", &self.resource_type),
            ("resourceName", &self.resource_name),
            ("resourceNamespace", &self.resource_namespace),
            ("keptnContext", &self.context),
        ];
        let one = [
            ("search", &self.search),
            ("detectedSince", &self.since),
            ("detectedUntil", &self.until),
            ("updatedSince", &self.updated_since),
        ];
        let many = many.into_iter().flat_map(|(name, values)| values.iter().map(move |v| (name.to_owned(), v.clone())));
        let labels = self.label.iter().map(|(name, value)| (format!("label.{name}"), value.clone()));
        let one = one.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
        let mut query: Vec<_> = many.chain(labels).chain(one).collect();
        // The words of states are written in capitals in the API, and nobody types those.
        query.iter_mut().filter(|(name, _)| name == "state").for_each(|(_, value)| value.make_ascii_uppercase());
        query
    }
}
