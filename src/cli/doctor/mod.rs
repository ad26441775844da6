//! `shipwatch doctor`: is everything in place, and does it work?

mod broker;
mod probe;
mod report;
mod service;

use std::process::ExitCode;

use super::client::{Client, ServerArgs};
use super::logging;
use super::output::OutputArgs;
use super::settings::ConfigArgs;
use crate::config::LogFormat;
use crate::units::Span;
use report::{Check, Report};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// How long the probe may take until it is folded and answered
    #[arg(long, value_name = "SPAN", default_value = "10s")]
    timeout: Span,
    /// Only look, publish nothing
    #[arg(long)]
    no_probe: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::init(LogFormat::Text, "error")?;
    let client = Client::new(&args.server)?;
    let mut report = Report::default();
    let config = match args.config.load([]) {
        Ok(config) => config,
        Err(error) => {
            report.add(Check::fail("configuration", error.to_string(), "correct what is named"));
            report.print(args.output.output)?;
            return Ok(ExitCode::from(2));
        }
    };
    report.add(Check::ok("configuration", "read, without mistakes"));
    let broker = broker::checks(&config, &mut report).await;
    let serving = service::checks(&client, &mut report).await;
    match (broker, serving) {
        _ if args.no_probe => {}
        (Some(broker), true) => probe::check(&broker, &client, &config, args.timeout, &mut report).await,
        _ => report.add(Check::skipped("probe", "needs broker and service")),
    }
    report.print(args.output.output)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
