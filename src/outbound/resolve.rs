//! The resolver that connections use: it hands out only addresses that the policy has passed.

use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Policy;

/// The system's resolver behind the policy.
pub(super) struct Resolver(pub(super) Arc<Policy>);

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = Arc::clone(&self.0);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let open: Addrs = Box::new(policy.reachable(name.as_str(), found)?.into_iter());
            Ok(open)
        })
    }
}
