//! Signed requests: where a rule declares a secret for its webhook, the body must be signed with it.
//!
//! The header is GitHub's, `X-Hub-Signature-256: sha256=<hex of the body's HMAC-SHA256>`.

use axum::http::StatusCode;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::Refusal;
use crate::domain::rules::Webhook;
use crate::secrets::Secrets;

/// The header with the signature.
pub const HEADER: &str = "x-hub-signature-256";

/// Refuses a request that is not signed as its webhook asks. Webhooks without a secret take every request.
pub fn check(webhook: &Webhook, secrets: &Secrets, signature: Option<&str>, body: &[u8]) -> Result<(), Refusal> {
    let Some(wanted) = &webhook.secret else { return Ok(()) };
    let secret = secrets.read(&wanted.name, &wanted.key).map_err(|error| {
        tracing::error!(webhook = %webhook.name, %error, "requests of a webhook cannot be checked and are refused");
        Refusal::later(30, "The signature cannot be checked", "the log of the service says more")
    })?;
    if signature.is_some_and(|signature| is_signed(&secret, signature, body)) {
        return Ok(());
    }
    let why = if signature.is_some() { "does not fit" } else { "is missing" };
    let details = format!("header {HEADER} {why}: sha256=<hex of the body's HMAC-SHA256>");
    Err(Refusal::new(StatusCode::UNAUTHORIZED, "The request is not signed", details))
}

fn is_signed(secret: &[u8], signature: &str, body: &[u8]) -> bool {
    let Some(claimed) = signature.strip_prefix("sha256=").and_then(from_hex) else { return false };
    // Every length of a key is taken.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return false };
    mac.update(body);
    mac.verify_slice(&claimed).is_ok()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some((digit(pair.first()?)? << 4 | digit(pair.get(1)?)?) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn githubs_example_is_signed_and_nothing_else() {
        let secret = b"It's a Secret to Everybody";
        let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(secret, signature, b"Hello, World!"));
        assert!(is_signed(secret, &signature.replace("ea0eb", "EA0EB"), b"Hello, World!"));
        assert!(!is_signed(secret, signature, b"Hello, World?"));
        assert!(!is_signed(b"another", signature, b"Hello, World!"));
        for bad in ["", "sha256=", &signature[7..], &signature[..70], "sha256=\u{e9}\u{e9}", "sha256=zz"] {
            assert!(!is_signed(secret, bad, b"Hello, World!"), "{bad:?}");
        }
    }
}
