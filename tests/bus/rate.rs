//! How fast the way in is; run by hand with `--release -- --ignored --nocapture`.

use std::time::Instant;

use crate::broker::Broker;
use crate::{LIMITS, fresh};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn pull_and_acknowledge() {
    const COUNT: usize = 400_000;
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut attached = fresh(&bus, &["x.>"]).await;
    let publisher = bus.publisher();
    let body: bytes::Bytes = vec![b'x'; 800].into();
    let mut receipts = std::collections::VecDeque::new();
    let begun = Instant::now();
    for n in 0..COUNT {
        receipts.push_back(publisher.publish("x.a", &n.to_string(), body.clone()).await.unwrap());
        if receipts.len() >= 4000 {
            receipts.pop_front().unwrap().await.unwrap();
        }
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
    println!("published {:.0}/s", COUNT as f64 / begun.elapsed().as_secs_f64());

    for round in ["the durable", "a detour"] {
        let begun = Instant::now();
        let (mut seen, mut groups) = (0, 0);
        let acker = attached.inbox.acker();
        while seen < COUNT {
            let group = attached.inbox.next_group(LIMITS).await.unwrap();
            seen += group.messages.len();
            groups += 1;
            acker.ack(group.token).await.unwrap();
        }
        let rate = seen as f64 / begun.elapsed().as_secs_f64();
        println!("by {round}: {rate:.0}/s in groups of {}", seen / groups);
        attached = fresh(&bus, &["x.>"]).await;
    }
}
