//! A client of the gateway.

use serde_json::Value;

/// What the gateway answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body as JSON; null where it is none.
    pub json: Value,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// `Shipwatch-Event-Id`.
    pub event: Option<String>,
}

/// The gateway of one service.
#[derive(Clone)]
pub struct Gateway {
    base: String,
    http: reqwest::Client,
}

impl Gateway {
    /// At an address.
    pub fn at(addr: &str) -> Gateway {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Gateway { base: format!("http://{addr}"), http }
    }

    /// The address, for clients that are no HTTP library.
    pub fn addr(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// The whole URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A request with headers and any body.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> Answer {
        let mut request = self.http.request(method.parse().unwrap(), self.url(path)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let header = |name: &str| answer.headers().get(name).map(|v| v.to_str().unwrap().to_owned());
        let (retry_after, event) = (header("retry-after"), header("shipwatch-event-id"));
        let status = answer.status().as_u16();
        let json = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        Answer { status, json, retry_after, event }
    }

    /// POSTs JSON to a webhook.
    pub async fn hook(&self, hook: &str, body: &Value) -> Answer {
        let json = [("content-type", "application/json")];
        self.send("POST", &format!("/api/v1/webhooks/{hook}"), &json, body.to_string()).await
    }

    /// POSTs JSON to a webhook with an `Idempotency-Key`.
    pub async fn hook_once(&self, hook: &str, key: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        self.send("POST", &format!("/api/v1/webhooks/{hook}"), &headers, body.to_string()).await
    }

    /// POSTs to `/api/v1/events`.
    pub async fn events(&self, headers: &[(&str, &str)], body: impl Into<reqwest::Body>) -> Answer {
        self.send("POST", "/api/v1/events", headers, body).await
    }
}
