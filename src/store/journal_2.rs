//! The form of journal lines before parked messages were decided about again: without who asked for that.

use serde::Deserialize;

use crate::domain::decision::Decision;
use crate::domain::event::Form;
use crate::domain::row::{Head, Recorded};

#[derive(Deserialize)]
pub struct Recorded2 {
    form: Form,
    subject: String,
    head: Option<Head>,
    decision: Decision,
}

impl From<Recorded2> for Recorded {
    fn from(old: Recorded2) -> Recorded {
        let Recorded2 { form, subject, head, decision } = old;
        Recorded { form, subject, head, decision, retry: None, payload: bytes::Bytes::new() }
    }
}
