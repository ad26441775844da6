//! Which rules the gateway answers by.

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::InForce;
use crate::domain::rules::RuleSet;

/// Hands the fold's rules on to the gateway.
///
/// The gateway takes what comes now, so it begins with the rules of this start, which are put behind all that the stream has.
/// A fold that is catching up tells of rules long gone; only those behind the stream's end at start count.
pub struct Serving {
    /// The fold's word.
    pub in_force: watch::Receiver<InForce>,
    /// Where the stream ended at start, in the fold's count.
    pub end_at_start: u64,
    /// The rules of this start do not get into the stream: then those of the fold are all there is.
    pub refused: CancellationToken,
    /// The gateway's rules.
    pub to: watch::Sender<RuleSet>,
}

impl Serving {
    /// Until the fold ends.
    pub async fn run(mut self) {
        loop {
            let InForce { set, since } = self.in_force.borrow_and_update().clone();
            let refused = self.refused.is_cancelled();
            if refused || since.sequence() > self.end_at_start {
                self.to.send_replace(set);
            }
            tokio::select! {
                changed = self.in_force.changed() => if changed.is_err() { return },
                () = self.refused.cancelled(), if !refused => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Position;

    fn set(name: &str) -> RuleSet {
        let text = format!(
            "apiVersion: shipwatch.dev/v1\nkind: RuleSet\nmetadata: {{name: {name}}}\nrules:\n  - {{name: {name}, on: [acme.x], ignore: \
             true, reason: r}}\n"
        );
        RuleSet::compile(&[(name, text)]).unwrap()
    }

    #[tokio::test]
    async fn rules_of_the_past_do_not_reach_the_gateway() {
        let [past, given, later] = ["past", "given", "later"].map(set);
        let fold = watch::Sender::new(InForce { set: past.clone(), since: Position::new(1, 0) });
        let to = watch::Sender::new(given.clone());
        let mut gateway = to.subscribe();
        let serving =
            Serving { in_force: fold.subscribe(), end_at_start: 10, refused: CancellationToken::new(), to: to.clone() };
        let task = tokio::spawn(serving.run());
        fold.send_replace(InForce { set: past.clone(), since: Position::new(10, 0) });
        tokio::task::yield_now().await;
        assert_eq!(*gateway.borrow(), given);
        fold.send_replace(InForce { set: later.clone(), since: Position::new(11, 0) });
        gateway.wait_for(|now| *now == later).await.unwrap();
        drop(fold);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn where_the_given_rules_are_refused_those_of_the_fold_are_served() {
        let [past, given] = ["past", "given"].map(set);
        let fold = watch::Sender::new(InForce { set: past.clone(), since: Position::new(1, 0) });
        let (to, refused) = (watch::Sender::new(given), CancellationToken::new());
        let mut gateway = to.subscribe();
        tokio::spawn(Serving { in_force: fold.subscribe(), end_at_start: 10, refused: refused.clone(), to }.run());
        tokio::task::yield_now().await;
        assert!(!gateway.has_changed().unwrap());
        refused.cancel();
        gateway.wait_for(|now| *now == past).await.unwrap();
    }
}
