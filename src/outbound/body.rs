//! Reading the body of an answer, as much of it as is allowed and in time.

use bytes::{Bytes, BytesMut};
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

/// Why there is no whole body.
pub(super) enum Cut {
    /// It is larger than allowed.
    TooLarge,
    /// The time ran out.
    Late,
    /// The connection broke.
    Broken(reqwest::Error),
}

/// The whole body, `most` bytes of it at most.
pub(super) async fn whole(response: &mut Response, most: u64, until: Instant) -> Result<Bytes, Cut> {
    let mut body = BytesMut::new();
    while let Some(chunk) = next(response, until).await? {
        if (body.len() + chunk.len()) as u64 > most {
            return Err(Cut::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The first `most` bytes, or fewer where there are no more, or the rest does not come.
pub(super) async fn beginning(response: &mut Response, most: usize, until: Instant) -> Bytes {
    let mut body = BytesMut::new();
    while body.len() < most {
        let Ok(Some(chunk)) = next(response, until).await else { break };
        body.extend_from_slice(&chunk);
    }
    body.truncate(most);
    body.freeze()
}

async fn next(response: &mut Response, until: Instant) -> Result<Option<Bytes>, Cut> {
    timeout_at(until, response.chunk()).await.map_err(|_| Cut::Late)?.map_err(Cut::Broken)
}
