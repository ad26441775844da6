//! Calls with their attempts.

use std::sync::Arc;

use chrono::Utc;
use reqwest::{Method, Proxy, Url};
use tokio::time::{Instant, sleep};

use super::attempt::{Failed, attempt, connect_timeout};
use super::redirect::Hop;
use super::resolve::Resolver;
use super::tell::{cause, place};
use super::tls::Tls;
use super::{Attempt, Limits, Outcome, Policy, Request, headers, retry};

/// Makes calls under one policy. Cheap to share by reference or in an [`Arc`]; calls do not wait for each other.
pub struct Client {
    policy: Arc<Policy>,
    tls: Tls,
}

impl Client {
    /// A client that goes where `policy` lets it. Reads the system's root certificates, once; where there are none, calls
    /// of https fail and say so.
    ///
    /// # Errors
    /// Where the TLS library refuses its own defaults.
    pub fn new(policy: Policy) -> Result<Client, rustls::Error> {
        Ok(Client { policy: Arc::new(policy), tls: Tls::new()? })
    }

    /// Makes the call, again where that is safe and allowed. Can be dropped at any point; the connection is closed then.
    pub async fn call(&self, request: &Request, limits: &Limits) -> Outcome {
        let mut attempts = Vec::new();
        loop {
            let (started, clock) = (Utc::now(), Instant::now());
            let result = self.attempt(request, limits).await;
            let (status, error) = match &result {
                Ok(answer) => (Some(answer.status), None),
                Err(failed) => (failed.failure.status, Some(failed.failure.message.clone())),
            };
            attempts.push(Attempt { started, took: clock.elapsed(), status, error });
            let failed = match result {
                Ok(answer) => return Outcome { attempts, result: Ok(answer) },
                Err(failed) => failed,
            };
            let failures = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
            if failures > limits.retries || !failed.again.holds_for(&request.method, limits.retry_after_answer) {
                return Outcome { attempts, result: Err(failed.failure) };
            }
            sleep(retry::wait(failures, failed.wait)).await;
        }
    }

    async fn attempt(&self, request: &Request, limits: &Limits) -> Result<super::Answer, Failed> {
        let first = first(request).map_err(Failed::for_good)?;
        let http = self.http(limits).map_err(|why| Failed::for_good(format!("{}: {why}", place(&first.url))))?;
        attempt(&http, &self.policy, self.tls.broken.as_deref(), first, limits).await
    }

    /// A connector for one attempt. It is made anew each time because a proxy and its timeout belong to it, and costs
    /// little: the certificates are read already, and connections are not kept.
    fn http(&self, limits: &Limits) -> Result<reqwest::Client, String> {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .dns_resolver(Resolver(Arc::clone(&self.policy)))
            .tls_backend_preconfigured(self.tls.config.clone())
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .pool_max_idle_per_host(0)
            .connect_timeout(connect_timeout(limits));
        let builder = match &limits.proxy {
            Some(proxy) => builder.proxy(self.proxy(proxy)?),
            None => builder,
        };
        builder.build().map_err(|e| cause(&e))
    }

    fn proxy(&self, text: &str) -> Result<Proxy, String> {
        let url = parse(text).map_err(|why| format!("the proxy's {why}"))?;
        self.policy.check(&url).map_err(|why| format!("the proxy {}: {why}", place(&url)))?;
        Proxy::all(url).map_err(|e| cause(&e))
    }
}

fn first(request: &Request) -> Result<Hop, String> {
    let url = parse(&request.url)?;
    let at = |why| format!("{}: {why}", place(&url));
    if request.method == Method::CONNECT {
        return Err(at("CONNECT is not a method that can be called with".to_owned()));
    }
    let headers = headers::read(&request.headers).map_err(at)?;
    Ok(Hop { method: request.method.clone(), url, headers, body: request.body.clone() })
}

/// The errors of the URL parser never hold the URL.
fn parse(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|e| format!("URL cannot be read: {e}"))?;
    if matches!(url.scheme(), "http" | "https") { Ok(url) } else { Err("URL is neither http nor https".into()) }
}
