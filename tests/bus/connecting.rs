//! Getting in, and being told why not.

use std::time::Duration;

use shipwatch::bus::{Kind, Patience, Reached, Settings, attach, connect};

use crate::broker::Broker;
use crate::{publish, wish, within};

async fn refused(settings: &Settings, patience: Patience) -> shipwatch::bus::Error {
    match within(20, connect(settings, "test", patience)).await {
        Ok(_) => panic!("it connected"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn wrong_credentials_are_final_even_for_the_patient() {
    let broker = Broker::configured("authorization { user: u, password: p }");
    let error = refused(&Settings::url(broker.url()), Patience::Wait).await;
    assert_eq!(error.kind(), Kind::Final);
    assert!(error.to_string().contains("refuses") && error.to_string().contains(&broker.url()), "{error}");
    let embedded = format!("nats://u:p@127.0.0.1:{}", broker.port());
    connect(&Settings::url(embedded), "test", Patience::FailFast).await.unwrap();
    let settings = Settings { user: Some("u".into()), password: Some("p".into()), ..Settings::url(broker.url()) };
    connect(&settings, "test", Patience::FailFast).await.unwrap();
}

#[tokio::test]
async fn tokens_and_nkeys_are_taken() {
    let broker = Broker::configured("authorization { token: t0ken }");
    let settings = Settings { token: Some("t0ken".into()), ..Settings::url(broker.url()) };
    connect(&settings, "test", Patience::FailFast).await.unwrap();
    let settings = Settings { nkey: Some("/nowhere/x.nk".into()), ..Settings::url(broker.url()) };
    assert_eq!(refused(&settings, Patience::Wait).await.kind(), Kind::Usage);
}

#[tokio::test]
async fn mistakes_in_the_settings_name_the_thing() {
    let say = async |settings: Settings| {
        let error = refused(&settings, Patience::Wait).await;
        assert_eq!(error.kind(), Kind::Usage);
        error.to_string()
    };
    let bad = Settings::url("nats://u:p4ss@:x");
    let text = say(bad).await;
    assert!(text.contains("broker address") && !text.contains("p4ss"), "{text}");
    let creds = Settings { creds: Some("/nowhere/x.creds".into()), ..Settings::default() };
    assert!(say(creds).await.contains("/nowhere/x.creds"));
    let mut tls = Settings::default();
    tls.tls.cert = Some("/dev/null".into());
    assert!(say(tls).await.contains("needs its key"));
}

#[tokio::test]
async fn a_command_fails_fast_and_a_service_waits() {
    let mut broker = Broker::start();
    broker.kill();
    let error = refused(&Settings::url(broker.url()), Patience::FailFast).await;
    assert_eq!(error.kind(), Kind::Passing);
    assert!(error.to_string().contains("no NATS broker answers"), "{error}");
    let settings = Settings::url(broker.url());
    let waiting = tokio::spawn(async move { connect(&settings, "test", Patience::Wait).await.map(|_| ()) });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    broker.again();
    within(20, waiting).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_broker_without_jetstream_is_named_as_that() {
    let broker = Broker::configured("accounts { A: {users: [{user: a, password: a}]} }");
    let settings = Settings { user: Some("a".into()), password: Some("a".into()), ..Settings::url(broker.url()) };
    let bus = connect(&settings, "test", Patience::FailFast).await.unwrap();
    let Err(error) = attach(&bus, &wish(&["x.>"]), &Reached::default()).await else { panic!("there is no JetStream") };
    assert_eq!(error.kind(), Kind::Final);
    assert!(error.to_string().contains("JetStream is not available"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_another_api() {
    let broker = Broker::configured("jetstream { domain: hub }");
    let settings = Settings { domain: Some("hub".into()), ..Settings::url(broker.url()) };
    let bus = connect(&settings, "test", Patience::FailFast).await.unwrap();
    let mut attached = crate::fresh(&bus, &["x.>"]).await;
    publish(&bus, 0..3).await;
    assert_eq!(crate::take(&mut attached.inbox, 3).await.len(), 3);
}
