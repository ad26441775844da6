//! Publishing: stored once per id, and told why not.

use bytes::Bytes;
use shipwatch::bus::Kind;

use crate::broker::Broker;
use crate::{fresh, take};

#[tokio::test(flavor = "multi_thread")]
async fn an_id_is_stored_once() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut attached = fresh(&bus, &["x.>"]).await;
    let publisher = bus.publisher();
    let first = publisher.publish("x.a", "one", "{}".into()).await.unwrap().await.unwrap();
    assert_eq!((first.stream.as_str(), first.sequence, first.duplicate), ("shipwatch", 1, false));
    let again = publisher.publish("x.a", "one", "{}".into()).await.unwrap().await.unwrap();
    assert_eq!((again.sequence, again.duplicate), (1, true));
    let message = &take(&mut attached.inbox, 1).await[0];
    assert_eq!(message.headers.get("Content-Type"), Some("application/cloudevents+json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_published_says_why() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    drop(fresh(&bus, &["x.>"]).await);
    let publisher = bus.publisher();
    let nobody = publisher.publish("nobody.takes", "1", "{}".into()).await.unwrap().await.unwrap_err();
    assert!(nobody.to_string().contains("\"nobody.takes\"") && nobody.is_passing(), "{nobody}");
    let large = Bytes::from(vec![b'x'; bus.max_payload() + 1]);
    let Err(error) = publisher.publish("x.a", "1", large).await else { panic!("too large") };
    assert_eq!(error.kind(), Kind::Final);
    assert!(publisher.publish("x.*", "1", "{}".into()).await.is_err());
    assert!(publisher.publish("x.a", "1\r\nX: y", "{}".into()).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publish_during_an_outage_arrives_once_by_trying_again() {
    let mut broker = Broker::start();
    let bus = broker.bus().await;
    let mut attached = fresh(&bus, &["x.>"]).await;
    broker.kill();
    let publisher = bus.publisher();
    let sending = tokio::spawn(async move {
        loop {
            match publisher.publish("x.a", "one", "{}".into()).await {
                Ok(receipt) => match receipt.await {
                    Ok(stored) => return stored,
                    Err(error) => assert!(error.is_passing(), "{error}"),
                },
                Err(error) => assert!(error.is_passing(), "{error}"),
            }
        }
    });
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    broker.again();
    crate::within(30, sending).await.unwrap();
    assert_eq!(take(&mut attached.inbox, 1).await.len(), 1);
    let state = broker.other().await.get_stream("shipwatch").await.unwrap().get_info().await.unwrap().state;
    assert_eq!(state.messages, 1);
}
