//! Reading a body within its bounds of size and time.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::Refusal;

/// How long a body may take to come.
const WITHIN: Duration = Duration::from_secs(10);

/// How much of a body that is too large is still taken in: a client that has not finished sending would often see a broken
/// connection instead of the answer.
const DRAINED: usize = 8 << 20;

/// The whole body: 413 where it is above `limit`, 408 where it does not come in time.
pub async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let above = announced.is_some_and(|bytes| bytes > limit as u64);
    // Such a client asks before it sends, and has sent nothing yet.
    if above && headers.contains_key(header::EXPECT) {
        return Err(too_large(limit));
    }
    match timeout(WITHIN, collect(body, limit)).await {
        Ok(read) => read,
        Err(_) if above => Err(too_large(limit)),
        Err(_) => Err(Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            "Request body too slow",
            format!("the body did not come within {} s", WITHIN.as_secs()),
        )),
    }
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    let mut stream = body.into_data_stream();
    let (mut all, mut size) = (BytesMut::new(), 0usize);
    while let Some(part) = stream.next().await {
        let part = part.map_err(|e| Refusal::bad("Invalid request body", format!("the body broke off: {e}")))?;
        size = size.saturating_add(part.len());
        if size <= limit {
            all.extend_from_slice(&part);
        } else if size > limit.saturating_add(DRAINED) {
            break;
        }
    }
    if size > limit { Err(too_large(limit)) } else { Ok(all.freeze()) }
}

fn too_large(limit: usize) -> Refusal {
    Refusal::too_large(format!("a body may have {limit} bytes (gateway.maxBody)"))
}
