//! A small store that folds through anything: whatever is killed and whenever, each message is folded once, in order.

use std::time::{Duration, Instant};

use shipwatch::bus::{Bus, GroupLimits, Patience, Reached, Settings, attach, connect};

use crate::broker::Broker;
use crate::{wish, within};

/// A generator of its own, so that a failing run can be had again: `SEED=… cargo test`.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// Folds as the service does, in lives that end at random points, until `stop` and everything is folded.
async fn fold(
    settings: Settings,
    mut dice: Dice,
    target: tokio::sync::watch::Receiver<Option<u64>>,
) -> Vec<(u64, String)> {
    let mut store = Reached::default();
    let mut folded = Vec::new();
    let done = |store: &Reached| target.borrow().is_some_and(|last| store.sequence >= last);
    while !done(&store) {
        let bus: Bus = connect(&settings, "chaos", Patience::Wait).await.unwrap();
        let mut attached = attach(&bus, &wish(&["x.>"]), &store).await.unwrap();
        assert!(attached.missed.is_empty());
        store.stream = Some(attached.stream.clone());
        let acker = attached.inbox.acker();
        let mut groups = dice.roll(60);
        while groups > 0 && !done(&store) {
            let limits = GroupLimits { messages: 1 + dice.roll(200) as usize, bytes: 1 << 20 };
            let limit = Duration::from_millis(1 + dice.roll(500));
            let Ok(group) = tokio::time::timeout(limit, attached.inbox.next_group(limits)).await else { continue };
            let group = group.unwrap();
            groups -= 1;
            if groups == 0 && dice.roll(2) == 0 {
                // This life ends before its commit.
                break;
            }
            assert!(group.missed.is_empty(), "{:?}", group.missed);
            for message in &group.messages {
                assert_eq!(message.sequence, store.sequence + 1);
                store.sequence = message.sequence;
                store.time = Some(message.stream_time);
                folded.push((message.sequence, String::from_utf8(message.payload.to_vec()).unwrap()));
            }
            if groups == 0 && dice.roll(2) == 0 {
                // This one between commit and acknowledgement.
                break;
            }
            acker.ack(group.token).await.ok();
        }
    }
    folded
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_message_is_folded_once_and_in_order_whatever_is_killed() {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("SEED={seed}");
    let mut dice = Dice(seed);
    let mut broker = Broker::start();
    let settings = Settings::url(broker.url());
    let (ready, target) = tokio::sync::watch::channel(None);
    let folding = tokio::spawn(fold(settings.clone(), Dice(seed ^ 0x5eed), target));

    let bus = broker.bus().await;
    let publishing = tokio::spawn(async move {
        let begun = Instant::now();
        let mut next = 0;
        while begun.elapsed() < Duration::from_secs(6) {
            crate::publish(&bus, next..next + 200).await;
            next += 200;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        next
    });
    while !publishing.is_finished() {
        tokio::time::sleep(Duration::from_millis(200 + dice.roll(500))).await;
        if dice.roll(3) == 0 {
            let js = broker.other().await;
            if let Ok(stream) = js.get_stream("shipwatch").await {
                stream.delete_consumer("shipwatch").await.ok();
            }
        } else {
            tokio::task::block_in_place(|| {
                broker.kill();
                std::thread::sleep(Duration::from_millis(dice.roll(300)));
                broker.again();
            });
        }
    }
    let published = publishing.await.unwrap();
    let state = broker.other().await.get_stream("shipwatch").await.unwrap().get_info().await.unwrap().state;
    ready.send(Some(state.last_sequence)).unwrap();
    let folded = within(60, folding).await.unwrap();
    assert_eq!(folded.len() as u64, state.last_sequence);
    let mut bodies: Vec<u32> = folded.iter().map(|(_, body)| body.parse().unwrap()).collect();
    bodies.sort_unstable();
    assert_eq!(bodies, (0..published).collect::<Vec<_>>());
}
