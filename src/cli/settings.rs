//! The configuration as a command sees it: file, variables and flags of this process put together.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;

use super::exit::Usage;
use crate::config::{Config, Mistakes, RawConfig, check, misspelt_variables};

/// Flags of every command that talks to the broker.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConfigArgs {
    /// Configuration file
    #[arg(long, env = "SHIPWATCH_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// NATS server; may be repeated or hold several, parted by commas (or SHIPWATCH_NATS_URL)
    #[arg(long, value_name = "URL")]
    nats_url: Vec<String>,
    /// NATS credentials file (or SHIPWATCH_NATS_CREDS)
    #[arg(long, value_name = "FILE")]
    nats_creds: Option<String>,
    /// Context of the NATS command line (or SHIPWATCH_NATS_CONTEXT)
    #[arg(long, value_name = "NAME")]
    nats_context: Option<String>,
    /// JetStream stream; found or made where not given (or SHIPWATCH_STREAM)
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
    /// Durable consumer (or SHIPWATCH_DURABLE)
    #[arg(long, value_name = "NAME")]
    durable: Option<String>,
}

impl ConfigArgs {
    /// Those of a command that talks to nobody and only wants to know what is set.
    pub fn of_file(config: Option<PathBuf>) -> ConfigArgs {
        ConfigArgs { config, ..ConfigArgs::default() }
    }

    /// What was typed, by key of the configuration.
    fn flags(&self) -> Vec<(&'static str, String)> {
        let urls = Some(self.nats_url.join(",")).filter(|_| !self.nats_url.is_empty());
        let flags = [
            ("nats.urls", urls),
            ("nats.creds", self.nats_creds.clone()),
            ("nats.context", self.nats_context.clone()),
            ("nats.stream", self.stream.clone()),
            ("nats.durable", self.durable.clone()),
        ];
        flags.into_iter().filter_map(|(path, text)| Some((path, text?))).collect()
    }

    /// Reads all layers; `more` are flags of the command beyond these.
    pub fn load(&self, more: impl IntoIterator<Item = (&'static str, String)>) -> anyhow::Result<Config> {
        let mut raw = RawConfig::default();
        let mut mistakes = Mistakes::default();
        if let Some(path) = self.config.as_ref().filter(|p| !p.as_os_str().is_empty()) {
            let text = std::fs::read_to_string(path)
                .map_err(|e| Usage(e.to_string()))
                .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
            raw.file(&text, path, &mut mistakes);
        }
        let variables: Vec<(String, String)> = std::env::vars_os()
            .map(|(name, text)| (name.to_string_lossy().into_owned(), text.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with("SHIPWATCH_"))
            .collect();
        for hint in misspelt_variables(variables.iter().map(|(name, _)| name.as_str())) {
            eprintln!("shipwatch: {hint}");
        }
        raw.variables(variables.iter().map(|(name, text)| (name.as_str(), text.as_str())));
        raw.flags(self.flags().into_iter().chain(more));
        Ok(check(&raw, mistakes)?)
    }
}
