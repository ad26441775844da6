//! Where calls may go.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

use super::addresses::{closed, leads_to, within};
use super::names::is_inside;
use crate::config::Target;

/// Where calls may go beside the open network, and where they may not.
///
/// Closed by default are the addresses and names that `addresses` and `names` list. An allowed host name opens that name
/// and whatever addresses it leads to, except link-local and cloud metadata ones, which only an address range opens. An
/// allowed address range opens these addresses for every name that is not closed itself: `127.0.0.0/8` does not open
/// `localhost`. What is denied is closed whatever allows it; a denied range also closes addresses that a name leads to.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// `webhooks.allow`.
    pub allow: Vec<Target>,
    /// `webhooks.deny`; wins.
    pub deny: Vec<Target>,
}

/// A place that calls may not go to. Names it and the setting that decides.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// The host of a URL.
enum Host<'a> {
    /// Lower case, without a dot at its end.
    Name(&'a str),
    Address(IpAddr),
}

impl Policy {
    /// Checks the host of `url` as far as it can be checked before it is resolved.
    ///
    /// # Errors
    /// Where calls may not go there.
    pub fn check(&self, url: &Url) -> Result<(), Refused> {
        match host(url) {
            None => Err(Refused("the URL has no host".into())),
            Some(Host::Address(ip)) => self.check_address(None, ip),
            Some(Host::Name(name)) => self.check_name(name),
        }
    }

    /// Those of the addresses `found` for `name` that may be connected to.
    ///
    /// # Errors
    /// Where there are some, but none that may.
    pub(super) fn reachable(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refused> {
        let name = plain(name);
        let mut refused = None;
        let mut open = Vec::new();
        for at in found {
            match self.check_address(Some(name), at.ip()) {
                Ok(()) => open.push(at),
                Err(why) => refused = refused.or(Some(why)),
            }
        }
        match refused {
            Some(why) if open.is_empty() => Err(why),
            _ => Ok(open),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Refused> {
        if let Some(target) = self.deny.iter().find(|target| names(target, name)) {
            return Err(Refused(format!("{name} is denied by {target} in webhooks.deny")));
        }
        if is_inside(name) && !self.allows_name(name) {
            return Err(Refused(format!(
                "{name} is a name of this machine or its network, which is closed unless webhooks.allow names {name}"
            )));
        }
        Ok(())
    }

    fn check_address(&self, name: Option<&str>, ip: IpAddr) -> Result<(), Refused> {
        let really = leads_to(ip);
        let shown = if really == ip { ip.to_string() } else { format!("{ip} (that is {really})") };
        let what = match name {
            Some(name) => format!("{name} leads to {shown}, which"),
            None => shown,
        };
        let holds = |target: &&Target| matches!(target, Target::Net { ip: net, bits } if within(ip, *net, *bits) || within(really, *net, *bits));
        if let Some(target) = self.deny.iter().find(holds) {
            return Err(Refused(format!("{what} is denied by {target} in webhooks.deny")));
        }
        let Some(why) = closed(ip) else { return Ok(()) };
        let by_name = why.opens_by_name() && name.is_some_and(|name| self.allows_name(name));
        if by_name || self.allow.iter().any(|target| holds(&target)) {
            return Ok(());
        }
        Err(Refused(format!("{what} is {why}, closed unless webhooks.allow holds {really} or its range")))
    }

    fn allows_name(&self, name: &str) -> bool {
        self.allow.iter().any(|target| names(target, name))
    }
}

/// Whether `target` names the host `name`.
fn names(target: &Target, name: &str) -> bool {
    match target {
        Target::Net { .. } => false,
        Target::Host(host) => host == name,
        Target::Below(above) => name.strip_suffix(above.as_str()).is_some_and(|rest| rest.ends_with('.')),
    }
}

fn plain(name: &str) -> &str {
    name.trim_end_matches('.')
}

/// The URL parser has read every spelling of an IPv4 address (`0x7f.1`, `2130706433`, `127.1`) and of letters by now.
fn host(url: &Url) -> Option<Host<'_>> {
    let text = url.host_str()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    match bare.parse() {
        Ok(ip) => Some(Host::Address(ip)),
        Err(_) => Some(plain(bare)).filter(|name| !name.is_empty()).map(Host::Name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow: &[&str], deny: &[&str]) -> Policy {
        let targets = |texts: &[&str]| texts.iter().map(|text| Target::parse(text).unwrap()).collect();
        Policy { allow: targets(allow), deny: targets(deny) }
    }

    fn check(policy: &Policy, url: &str) -> Result<(), String> {
        policy.check(&Url::parse(url).unwrap()).map_err(|why| why.to_string())
    }

    fn reach(policy: &Policy, name: &str, ips: &[&str]) -> Result<usize, String> {
        let found = ips.iter().map(|ip| SocketAddr::new(ip.parse().unwrap(), 0)).collect();
        policy.reachable(name, found).map(|open| open.len()).map_err(|why| why.to_string())
    }

    #[test]
    fn every_spelling_of_loopback_is_closed() {
        let none = policy(&[], &[]);
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0x7f.0.0.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "127.8.8.8",
            "%31%32%37.0.0.1",
            "１２７.0.0.1",
            "[::1]",
            "[0:0:0:0:0:0:0:1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::127.0.0.1]",
            "[2002:7f00:1::]",
            "0",
            "0.0.0.0",
            "[::]",
            "localhost",
            "LOCALHOST",
            "localhost.",
            "ⓛocalhost",
            "a.localhost",
        ] {
            assert!(check(&none, &format!("http://joe:pw@{host}:8080/x")).is_err(), "{host}");
        }
        assert_eq!(check(&none, "https://hooks.example.com/x"), Ok(()));
        assert_eq!(check(&none, "https://1.1.1.1/x"), Ok(()));
    }

    #[test]
    fn what_is_told_names_the_place_and_the_setting() {
        let said = check(&policy(&[], &["*.evil.example"]), "http://x.evil.example").unwrap_err();
        assert_eq!(said, "x.evil.example is denied by *.evil.example in webhooks.deny");
        let said = check(&policy(&[], &[]), "http://2852039166").unwrap_err();
        let rest = "is a metadata address of a cloud, closed unless webhooks.allow holds 169.254.169.254 or its range";
        assert_eq!(said, format!("169.254.169.254 {rest}"));
        let said = check(&policy(&[], &[]), "http://[::ffff:10.0.0.1]").unwrap_err();
        assert!(said.starts_with("::ffff:10.0.0.1 (that is 10.0.0.1) is a private address"), "{said}");
        let said = check(&policy(&[], &[]), "http://jira/x").unwrap_err();
        assert!(said.ends_with("closed unless webhooks.allow names jira"), "{said}");
        let said = reach(&policy(&[], &[]), "db.example.com", &["10.0.0.1"]).unwrap_err();
        assert!(said.starts_with("db.example.com leads to 10.0.0.1, which is a private address"), "{said}");
    }

    #[test]
    fn allow_opens_and_deny_wins() {
        let some = policy(&["10.0.0.0/8", "jira.internal", "*.corp.example"], &["10.9.0.0/16", "bad.corp.example"]);
        assert!(check(&some, "http://10.1.1.1").is_ok());
        assert!(check(&some, "http://[::ffff:10.1.1.1]").is_ok());
        assert!(check(&some, "http://10.9.1.1").is_err());
        assert!(check(&some, "http://[::ffff:10.9.1.1]").is_err());
        assert!(check(&some, "http://Jira.Internal.:8080").is_ok());
        assert!(check(&some, "http://x.jira.internal").is_err());
        assert!(check(&some, "http://bad.corp.example").is_err());
        // A range opens its addresses for any name, a name opens any address but those of credentials.
        assert_eq!(reach(&some, "other.example", &["10.1.1.1"]), Ok(1));
        assert_eq!(reach(&some, "jira.internal", &["192.168.1.1", "::1"]), Ok(2));
        assert!(reach(&some, "jira.internal", &["10.9.0.1"]).is_err());
        assert!(reach(&some, "x.corp.example", &["169.254.169.254"]).is_err());
        assert!(reach(&some, "x.corp.example", &["fd00:ec2::254"]).is_err());
        assert!(reach(&some, "corp.example", &["192.168.1.1"]).is_err());
        assert!(reach(&some, "xcorp.example", &["192.168.1.1"]).is_err());
        assert!(reach(&policy(&["169.254.169.254"], &[]), "a.example", &["169.254.169.254"]).is_ok());
        // A range does not open a closed name.
        assert!(check(&policy(&["127.0.0.0/8"], &[]), "http://localhost").is_err());
    }

    #[test]
    fn only_addresses_that_may_be_connected_to_are_left() {
        let none = policy(&[], &[]);
        assert_eq!(reach(&none, "both.example", &["10.0.0.1", "1.1.1.1", "::1"]), Ok(1));
        assert_eq!(reach(&none, "none.example", &[]), Ok(0));
        assert!(reach(&policy(&[], &["1.0.0.0/8"]), "both.example", &["10.0.0.1", "1.1.1.1"]).is_err());
    }
}
