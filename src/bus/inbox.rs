//! Messages strictly by stream sequence, each once, whatever the broker does.
//!
//! The durable consumer delivers. A delivery may go astray with a connection, come twice, or out of order after a lost
//! one, and an acknowledgement of everything up to it would then lose what came before. So nothing is handed out
//! unless it follows what was handed out last; where it does not, the messages between are read from the stream itself
//! (the *detour*), and the delivery is held until then. A start after a crash, a restored or an empty store, a deleted
//! consumer and a broker that was restarted are all the same case.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;

use super::connect::{Bus, LinkState, reconnected};
use super::consumer::{self, Filter};
use super::reader::{self, Facts, Reader};
use super::stream;
use super::{Acker, Error, Gap, Group, GroupLimits, Message, Status, Token};
use crate::backoff::{Backoff, Waits};
use crate::domain::stream::StreamIdentity;
use crate::domain::time::Time;

/// So long without a delivery, the consumer is asked whether it has made one that did not arrive: it went to another
/// process on the same durable, or was a message that the client takes for a word of the broker's.
const IDLE: Duration = Duration::from_secs(10);

/// The way in.
pub struct Inbox {
    bus: Bus,
    stream: StreamIdentity,
    durable: String,
    /// The last sequence put into `ready`; everything up to it has been handed out or does not exist.
    position: u64,
    /// When the stream took that message; a stream that says otherwise is an older copy.
    position_time: Option<Time>,
    ready: VecDeque<Taken>,
    ready_bytes: usize,
    /// Nothing of this stream was ever folded: that its head is gone is no loss.
    first_time: bool,
    missed: Vec<Gap>,
    detour: Option<Reader>,
    held: Option<(Message, Facts)>,
    live: Option<Live>,
    link: watch::Receiver<LinkState>,
    waits: Waits,
    acker: Acker,
    /// Acknowledgements owed for what was delivered again after its commit.
    owed: Vec<Subject>,
    status: Status,
}

/// The durable consumer while it is being pulled from.
struct Live {
    messages: pull::Stream,
    filter: Filter,
    policy: AckPolicy,
    /// Consumer sequence of the last delivery.
    delivered: u64,
    /// Whether deliveries may have gone astray since, so that `delivered` proves nothing.
    doubt: bool,
    epoch: u64,
    /// What an earlier life of ours left open at the broker when we came.
    left: Left,
}

/// Deliveries of an earlier life: everything in `(floor, upto]` waits for an acknowledgement.
#[derive(Clone, Copy)]
struct Left {
    floor: u64,
    upto: u64,
    delivery: u64,
}

struct Taken {
    message: Message,
    reply: Option<Subject>,
    pending: Option<u64>,
}

impl Inbox {
    pub(super) fn new(bus: &Bus, stream: StreamIdentity, durable: &str, position: u64, time: Option<Time>) -> Inbox {
        Inbox {
            acker: Acker::new(bus.client.clone(), position),
            link: bus.link(),
            bus: bus.clone(),
            stream,
            durable: durable.to_owned(),
            position,
            position_time: time,
            ready: VecDeque::new(),
            ready_bytes: 0,
            first_time: position == 0,
            missed: Vec::new(),
            detour: None,
            held: None,
            live: None,
            waits: Backoff::broker().waits(),
            owed: Vec::new(),
            status: Status::default(),
        }
    }

    /// Waits for the first message, adds only those already here, and stops at a limit. So groups are small while it is
    /// quiet and grow by themselves under load.
    ///
    /// Safe to drop at any point: what was received stays in the inbox.
    ///
    /// # Errors
    /// Only what waiting does not mend: the stream is gone or another one ([`super::Kind::Attach`]), or the consumer
    /// cannot be used. An outage of the broker is waited for.
    pub async fn next_group(&mut self, limits: GroupLimits) -> Result<Group, Error> {
        loop {
            while self.ready.len() < limits.messages && self.ready_bytes < limits.bytes && self.flows() {
                // Without the budget that tokio gives a task, or a group would end at some 60 messages.
                match tokio::task::unconstrained(self.advance()).now_or_never() {
                    Some(Ok(())) => {}
                    // It will come again with the next call; what is ready goes first.
                    Some(Err(_)) if !self.ready.is_empty() => break,
                    Some(Err(error)) => return Err(error),
                    None => break,
                }
            }
            if !self.ready.is_empty() {
                return Ok(self.group(limits));
            }
            self.advance().await?;
        }
    }

    /// What acknowledges the groups, from any task.
    pub fn acker(&self) -> Acker {
        self.acker.clone()
    }

    /// What health and metrics want to know.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    pub(super) fn take_missed(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.missed)
    }

    /// Whether something may be here already; else only waiting helps.
    fn flows(&self) -> bool {
        match &self.detour {
            Some(detour) => detour.flows(),
            None => self.live.is_some(),
        }
    }

    fn group(&mut self, limits: GroupLimits) -> Group {
        let count = self.ready.len().min(limits.messages.max(1));
        let mut messages = Vec::with_capacity(count);
        let mut token = Token { last: 0, replies: Vec::new() };
        let each = self.live.as_ref().is_some_and(|l| l.policy == AckPolicy::Explicit);
        let mut lag = None;
        for taken in self.ready.drain(..count) {
            self.ready_bytes -= taken.message.payload.len();
            token.last = taken.message.sequence;
            if let Some(reply) = taken.reply {
                if !each {
                    token.replies.clear();
                }
                token.replies.push(reply);
            }
            lag = taken.pending.or(lag);
            messages.push(taken.message);
        }
        let lag = lag.unwrap_or_else(|| self.status.lag().saturating_sub(count as u64));
        self.status.set_lag(lag);
        Group { messages, token, missed: self.take_missed(), lag }
    }

    /// One step. Safe to drop: nothing is awaited between receiving a message and putting it away.
    async fn advance(&mut self) -> Result<(), Error> {
        while let Some(reply) = self.owed.pop() {
            self.acker.send(reply).await;
        }
        if let Some(detour) = &mut self.detour {
            match detour.next().await? {
                Some(message) => self.accept_read(message),
                None => self.end_detour(),
            }
            return Ok(());
        }
        if let Some((message, facts)) = self.held.take() {
            self.accept(message, facts);
            return Ok(());
        }
        let Some(live) = &mut self.live else { return self.open_patiently().await };
        let item = tokio::select! {
            biased;
            item = live.messages.next() => item,
            () = reconnected(&mut self.link, live.epoch) => None,
            () = tokio::time::sleep(IDLE) => return self.look_around().await,
        };
        match item {
            Some(Ok(delivered)) => {
                if let Some((message, facts)) = reader::take(delivered) {
                    self.deliver(message, facts);
                }
            }
            // A missed heartbeat, a new connection, a deleted consumer: what it means is found out by opening anew.
            Some(Err(error)) => {
                tracing::debug!(%error, consumer = %self.durable, "deliveries stopped");
                self.live = None;
            }
            None => self.live = None,
        }
        Ok(())
    }

    /// Compares with what the broker believes to have delivered.
    async fn look_around(&mut self) -> Result<(), Error> {
        let delivered = consumer::delivered(&self.bus, &self.stream.name, &self.durable).await;
        if delivered.ok().is_none_or(|sequence| sequence > self.position) {
            self.live = None;
        }
        Ok(())
    }

    /// Takes what the durable delivered, if it is what comes next.
    fn deliver(&mut self, message: Message, facts: Facts) {
        let Some(live) = &mut self.live else { return };
        let in_order = facts.delivery == live.delivered + 1 && !live.doubt;
        live.delivered = facts.delivery;
        if message.sequence <= self.position {
            if message.sequence <= self.acker.committed() {
                self.owe(facts.reply);
            }
            return;
        }
        live.doubt = false;
        if message.sequence == self.position + 1 || in_order {
            if live.filter.is_all() && message.sequence > self.position + 1 {
                self.miss(self.position + 1, message.sequence - 1);
            }
            self.accept(message, facts);
        } else {
            let until = message.sequence - 1;
            tracing::debug!(after = self.position, until, "deliveries are missing, reading them from the stream");
            self.detour = Some(Reader::new(&self.bus, &self.stream.name, live.filter.clone(), self.position, until));
            self.held = Some((message, facts));
        }
    }

    fn accept(&mut self, message: Message, facts: Facts) {
        if message.sequence <= self.position {
            return;
        }
        // Where the consumer takes no acknowledgement, none is sent: nobody would confirm it.
        let reply = facts.reply.filter(|_| self.live.as_ref().is_none_or(|l| l.policy != AckPolicy::None));
        self.put(Taken { message, reply, pending: Some(facts.pending) });
    }

    /// Takes what a detour read. Whatever the durable delivered of it in an earlier life is acknowledged by an address
    /// made here, since the one it came with is gone. Should the broker not take it, it delivers again, and then the
    /// real address is used.
    fn accept_read(&mut self, message: Message) {
        let sequence = message.sequence;
        if sequence <= self.position {
            return;
        }
        if sequence > self.position + 1 && self.live.as_ref().is_none_or(|l| l.filter.is_all()) {
            self.miss(self.position + 1, sequence - 1);
        }
        let reply = self.live.as_ref().and_then(|live| {
            let Left { floor, upto, delivery } = live.left;
            let due = match live.policy {
                AckPolicy::Explicit => floor < sequence && sequence <= upto,
                AckPolicy::All => floor < sequence && sequence == upto,
                _ => false,
            };
            let address = || format!("$JS.ACK.{}.{}.1.{sequence}.{delivery}.0.0", self.stream.name, self.durable);
            due.then(|| Subject::from(address()))
        });
        self.put(Taken { message, reply, pending: None });
    }

    fn put(&mut self, taken: Taken) {
        self.position = taken.message.sequence;
        self.position_time = Some(taken.message.stream_time);
        self.first_time = false;
        self.ready_bytes += taken.message.payload.len();
        self.ready.push_back(taken);
    }

    fn end_detour(&mut self) {
        let Some(until) = self.detour.take().map(|d| d.until()) else { return };
        if until > self.position {
            if self.live.as_ref().is_none_or(|l| l.filter.is_all()) {
                self.miss(self.position + 1, until);
            }
            self.position = until;
            self.position_time = None;
        }
    }

    fn miss(&mut self, first: u64, last: u64) {
        if self.first_time {
            return;
        }
        match self.missed.last_mut() {
            Some(gap) if gap.last + 1 == first => gap.last = last,
            _ => self.missed.push(Gap { first, last }),
        }
    }

    fn owe(&mut self, reply: Option<Subject>) {
        if self.live.as_ref().is_some_and(|l| l.policy == AckPolicy::All) {
            self.owed.clear();
        }
        self.owed.extend(reply);
    }

    /// Opens until it works. One line where an outage begins and one where it ends, unless the connection says so.
    async fn open_patiently(&mut self) -> Result<(), Error> {
        self.status.set_running(false);
        loop {
            match self.open().await {
                Ok(()) => break,
                Err(error) if error.is_passing() || matches!(error, Error::NoJetStream(_)) => {
                    let delay = self.waits.next_delay();
                    // The third failure: a broker that just came up needs a moment for its streams.
                    if self.waits.failures() == 3 && self.bus.is_connected() {
                        tracing::warn!(%error, stream = %self.stream.name, "the stream cannot be read, trying again");
                    }
                    tokio::time::sleep(delay).await;
                }
                Err(error) => return Err(error),
            }
        }
        if self.waits.failures() >= 3 {
            tracing::info!(stream = %self.stream.name, position = self.position, "reading the stream again");
        }
        self.waits.reset();
        Ok(())
    }

    /// Finds out where stream and consumer stand, and begins to pull behind what was handed out last.
    pub(super) async fn open(&mut self) -> Result<(), Error> {
        let epoch = self.link.borrow().epoch;
        let name = self.stream.name.clone();
        let info = match stream::info(&self.bus, &name).await {
            Err(asked) if asked.is(ErrorCode::STREAM_NOT_FOUND) => {
                return Err(Error::StreamChanged(format!("stream {name:?} is gone")));
            }
            other => other?,
        };
        if stream::identity(&info) != self.stream {
            return Err(Error::StreamChanged(format!("stream {name:?} was made anew")));
        }
        if let Some(why) = older_copy(&self.bus, &info, self.position, self.position_time).await? {
            return Err(Error::StreamChanged(why));
        }
        let durable = consumer::bind(&self.bus, &info, &self.durable, self.position).await?;
        let delivered = durable.info.delivered;
        // An earlier life folded into a store that is lost: now it matters that the head is gone.
        self.first_time &= delivered.stream_sequence == 0 || durable.made;
        let head = info.state.first_sequence;
        let messages = consumer::pull(&self.bus, &durable.info).await?;
        if head > self.position + 1 {
            self.miss(self.position + 1, head - 1);
            self.position = head - 1;
            self.position_time = None;
        }
        if delivered.stream_sequence > self.position {
            let until = delivered.stream_sequence;
            tracing::debug!(after = self.position, until, "reading again what was delivered before");
            self.detour = Some(Reader::new(&self.bus, &name, durable.filter.clone(), self.position, until));
        }
        self.held = None;
        self.live = Some(Live {
            messages,
            policy: durable.ack_policy(),
            filter: durable.filter,
            delivered: delivered.consumer_sequence,
            doubt: true,
            epoch,
            left: Left {
                floor: durable.info.ack_floor.stream_sequence,
                upto: delivered.stream_sequence,
                delivery: delivered.consumer_sequence,
            },
        });
        self.status.set_lag(info.state.last_sequence.saturating_sub(self.position));
        self.status.set_running(true);
        Ok(())
    }
}

/// Whether the stream cannot be the one in which `position` was seen: a broker that was restored from a backup, or lost
/// what it had not yet synced, gives the same sequences out again.
pub(super) async fn older_copy(
    bus: &Bus,
    info: &async_nats::jetstream::stream::Info,
    position: u64,
    time: Option<Time>,
) -> Result<Option<String>, Error> {
    let name = &info.config.name;
    let last = info.state.last_sequence;
    if position > last {
        return Ok(Some(format!(
            "stream {name:?} ends at sequence {last}, but {position} was folded: the broker has an older copy of it"
        )));
    }
    let Some(time) = time.filter(|_| position >= info.state.first_sequence) else { return Ok(None) };
    match reader::fetch_at(bus, name, position).await {
        Ok(Some(found)) if found.stream_time != time => Ok(Some(format!(
            "sequence {position} of stream {name:?} is of {}, but the one that was folded is of {time}: \
             the broker has an older copy of it",
            found.stream_time
        ))),
        Ok(_) => Ok(None),
        // Without the right to read single messages the check is left out.
        Err(Error::NotAllowed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
