//! The service's side: alive, ready, of this version.

use serde_json::Value;

use super::report::{Check, Report};
use crate::cli::client::Client;
use crate::cli::listing::text;

/// Checks the service; whether it can be asked.
pub(super) async fn checks(client: &Client, report: &mut Report) -> bool {
    if let Err(error) = client.get(&["healthz"], &[]).await {
        report.add(Check::fail(
            "service",
            error.to_string(),
            "start it with `shipwatch serve`, or name it with --server",
        ));
        return false;
    }
    report.add(Check::ok("service", format!("answers at {}", client.url())));
    match client.get(&["readyz"], &[]).await {
        Ok(_) => report.add(Check::ok("ready", "reads the stream")),
        Err(error) => report.add(Check::fail("ready", error.to_string(), "its log says what it waits for")),
    }
    match client.api(&["version"], &[]).await {
        Ok(body) => {
            let theirs = serde_json::from_str(&body).map(|v: Value| text(&v, &["version"])).unwrap_or_default();
            report.add(version(&theirs));
        }
        Err(error) => report.add(Check::fail("version", error.to_string(), "may this token read?")),
    }
    true
}

fn version(theirs: &str) -> Check {
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours {
        Check::ok("version", ours)
    } else {
        Check::warn("version", format!("the service has {theirs}, this is {ours}"), "use the same on both sides")
    }
}
