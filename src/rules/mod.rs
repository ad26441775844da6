//! The rules of the running service: which set holds, how it changes, and how a changed set gets into the stream.
//!
//! A set travels as `dev.shipwatch.rules.loaded` ([`crate::domain::loaded`]). Whoever starts or reloads only publishes it
//! ([`reload`]); the fold takes it up where it meets it ([`book`]). Before the fold of a stream begins, the stream has its
//! first set ([`opening`]), so what is folded never depends on what a process was started with.

pub mod book;
pub mod force;
pub mod opening;
pub mod publish;
pub mod reading;
pub mod reload;
pub mod serving;

use std::path::Path;

pub use book::RuleBook;
pub use force::{InForce, RulesInForce};

use crate::domain::rules::RuleSet;
use crate::secrets::Secrets;
use crate::shipyard::{RuleFiles, WrongRules};

/// The rules of a `shipyard` folder before the ones in the binary, with the webhooks that are called. Where `secrets` are given,
/// those of the webhooks have to be there.
///
/// # Errors
/// Every mistake of every file.
pub fn load(shipyard_dir: &Path, secrets: Option<&Secrets>) -> Result<RuleSet, WrongRules> {
    RuleFiles::read(shipyard_dir).compile_with(secrets)
}

/// The same where the folder was read before: what it had has to be there still.
///
/// # Errors
/// Every mistake of every file, and a folder that is gone.
pub fn load_again(shipyard_dir: &Path, secrets: Option<&Secrets>, before: &RuleSet) -> Result<RuleSet, WrongRules> {
    RuleFiles::read_again(shipyard_dir, before).compile_with(secrets)
}
