//! The binary.
use shipwatch::domain::issue::ChangeKind;
#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let a: Vec<String> = std::env::args().collect();
    let get = |n: &str| a.iter().position(|x| x == n).map(|i| a[i + 1].clone());
    let config = shipwatch::app::Config {
        nats: shipwatch::bus::Settings { urls: vec![get("--nats-url").unwrap()], ..Default::default() },
        stream: get("--stream"),
        durable: "shipwatch".into(),
        data_dir: get("--data-dir").unwrap().into(),
        listen: get("--listen").unwrap().parse()?,
        public_url: String::new(),
        event_size: 1 << 20,
        rules: shipwatch::domain::rules::RuleSet::builtin(),
        settings: shipwatch::domain::decide::Settings {
            tasks: Default::default(),
            issue_events: vec![ChangeKind::Opened, ChangeKind::Reopened, ChangeKind::Resolved],
            keep_events: std::time::Duration::from_secs(30 * 86400),
            public_url: String::new(),
        },
        store: Default::default(),
    };
    let m = shipwatch::query::Metrics::new(shipwatch::metrics::install()?);
    let app = shipwatch::app::App::start(config, m).await?;
    let t = app.stop_token();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        t.cancel();
    });
    app.join().await
}
