//! `shipwatch serve`

use std::process::ExitCode;

use clap::builder::PossibleValuesParser;

use super::settings::ConfigArgs;
use super::{logging, output, wiring};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Folder of the store (or SHIPWATCH_DATA_DIR)
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Folder of rules, shipyards and webhooks (or SHIPWATCH_SHIPYARD_DIR)
    #[arg(long, value_name = "DIR")]
    shipyard_dir: Option<String>,
    /// Where the query endpoint listens; 127.0.0.1:8080 where not given (or SHIPWATCH_LISTEN)
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Where the gateway listens; off where not given (or SHIPWATCH_GATEWAY_LISTEN)
    #[arg(long, value_name = "ADDRESS")]
    gateway_listen: Option<String>,
    /// Run nothing but the gateway: no store, no query endpoint; another process folds
    #[arg(long)]
    no_fold: bool,
    /// Form of the log (or SHIPWATCH_LOG_FORMAT)
    #[arg(long, value_parser = PossibleValuesParser::new(["text", "json"]))]
    log_format: Option<String>,
    /// Print the effective configuration without secrets, and stop
    #[arg(long)]
    dump_config: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let flags = [
        ("dataDir", args.data_dir),
        ("shipyardDir", args.shipyard_dir),
        ("query.listen", args.listen),
        ("gateway.listen", args.gateway_listen),
        ("log.format", args.log_format),
    ];
    let config = args.config.load(flags.into_iter().filter_map(|(path, text)| Some((path, text?))))?;
    if args.dump_config {
        output::write(&config.dump()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    logging::init(config.log.format, "info")?;
    wiring::serve(config, !args.no_fold).await
}
