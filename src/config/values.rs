//! Values that cannot be wrong once they exist.

use std::fmt;
use std::net::IpAddr;

use serde::{Serialize, Serializer};

/// Text that is never shown: printed and serialised as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, for whoever has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("***")
    }
}

/// An address to listen on: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, or `:8080` for every interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    host: String,
    port: u16,
}

impl Listen {
    /// This port of 127.0.0.1.
    pub fn loopback(port: u16) -> Listen {
        Listen { host: "127.0.0.1".to_owned(), port }
    }

    /// Reads an address.
    ///
    /// # Errors
    /// Says what it should look like.
    pub fn parse(text: &str) -> Result<Listen, String> {
        let bad = || format!("{text:?} is not an address like 127.0.0.1:8080");
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = Some(port).filter(|p| p.bytes().all(|b| b.is_ascii_digit())).and_then(|p| p.parse().ok());
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').filter(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok()),
            None => Some(host).filter(|h| h.is_empty() || h.parse::<std::net::Ipv4Addr>().is_ok() || is_host_name(h)),
        };
        Ok(Listen { host: bare.ok_or_else(bad)?.to_owned(), port: port.ok_or_else(bad)? })
    }

    /// Whether only this machine can connect.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Host without brackets, and port, as sockets are bound with; `[::]` for every interface.
    pub fn host_and_port(&self) -> (&str, u16) {
        (if self.host.is_empty() { "::" } else { &self.host }, self.port)
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Where webhooks may or may not go: a range of addresses, or a host name, `*.` before it for all below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Addresses whose first bits are those of `ip`.
    Net {
        /// First address.
        ip: IpAddr,
        /// How many bits count.
        bits: u8,
    },
    /// This host, in lower case.
    Host(String),
    /// Every host below this one.
    Below(String),
}

impl Target {
    /// Reads `10.0.0.0/8`, `::1`, `hooks.example.com` or `*.example.com`.
    ///
    /// # Errors
    /// Says what it should look like.
    pub fn parse(text: &str) -> Result<Target, String> {
        let bad = || format!("{text:?} is not an address range like 10.0.0.0/8 or a host name");
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Target::Net { ip, bits: if ip.is_ipv4() { 32 } else { 128 } });
        }
        if let Some((ip, bits)) = text.split_once('/') {
            let ip: IpAddr = ip.parse().map_err(|_| bad())?;
            let most = if ip.is_ipv4() { 32 } else { 128 };
            let bits = bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(bad)?;
            return Ok(Target::Net { ip, bits });
        }
        let lower = text.to_ascii_lowercase();
        match lower.strip_prefix("*.") {
            Some(rest) if is_host_name(rest) => Ok(Target::Below(rest.to_owned())),
            None if is_host_name(&lower) => Ok(Target::Host(lower)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Net { ip, bits } => write!(f, "{ip}/{bits}"),
            Target::Host(name) => f.write_str(name),
            Target::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A server of NATS, as written. Passwords in it are not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl(String);

impl NatsUrl {
    /// Reads `nats://host:4222`, `tls://…`, `ws://…`, `wss://…`, or a bare `host:4222`.
    ///
    /// # Errors
    /// Says what it should look like, without showing what may be a password.
    pub fn parse(text: &str) -> Result<NatsUrl, String> {
        let bad = || format!("{:?} is not a server like nats://127.0.0.1:4222", hide_user(text));
        let rest = match text.split_once("://") {
            Some(("nats" | "tls" | "ws" | "wss", rest)) => rest,
            Some(_) => return Err(bad()),
            None => text,
        };
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        let host = host.split('/').next().unwrap_or_default();
        let odd = host.is_empty() || host.starts_with(':') || text.contains(|c: char| c.is_whitespace());
        let port = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map(|(_, port)| port);
        let port_is_odd = port.is_some_and(|port| port.parse::<u16>().is_err());
        if odd || port_is_odd { Err(bad()) } else { Ok(NatsUrl(text.to_owned())) }
    }

    /// As it was written, for whoever connects.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

fn hide_user(text: &str) -> String {
    match text.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map(|(scheme, _)| format!("{scheme}://")).unwrap_or_default();
            format!("{scheme}***@{host}")
        }
        None => text.to_owned(),
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hide_user(&self.0))
    }
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for NatsUrl {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn is_host_name(text: &str) -> bool {
    // Something like 1.2.3.400 is a mistyped address and no name.
    let numeric = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        !label.is_empty() && label.len() <= 63 && inner && !label.starts_with('-') && !label.ends_with('-')
    };
    !text.is_empty() && !numeric && text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on() {
        for (text, loopback) in [
            ("127.0.0.1:8080", true),
            ("[::1]:0", true),
            ("localhost:80", true),
            ("0.0.0.0:8080", false),
            (":8080", false),
            ("shipwatch.example.com:1", false),
        ] {
            let listen = Listen::parse(text).unwrap();
            assert_eq!((listen.to_string().as_str(), listen.is_loopback()), (text, loopback));
        }
        for text in ["", "8080", "127.0.0.1", "127.0.0.1:", "::1:80", "1.2.3:80", "1.2.3.4:70000", "a b:1", "x:+1"] {
            assert!(Listen::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn targets_of_webhooks() {
        for (text, back) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("::1", "::1/128"),
            ("Hooks.Example.com", "hooks.example.com"),
            ("*.example.com", "*.example.com"),
        ] {
            assert_eq!(Target::parse(text).unwrap().to_string(), back);
        }
        for text in ["", "10.0.0.0/33", "10.0.0/8", "*", "a*.b", "http://x", "1.2.3.400"] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn servers_hide_their_password() {
        let url = NatsUrl::parse("nats://joe:pa55@host:4222").unwrap();
        assert_eq!((url.to_string().as_str(), url.reveal()), ("nats://***@host:4222", "nats://joe:pa55@host:4222"));
        for text in ["127.0.0.1:4222", "tls://[::1]:4222", "wss://host/path", "host"] {
            assert_eq!(NatsUrl::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "http://host", "nats://", "nats://:4222", "nats://a:99999", "a b"] {
            assert!(NatsUrl::parse(text).is_err(), "{text}");
        }
        assert!(!NatsUrl::parse("http://joe:pa55@host").unwrap_err().contains("pa55"));
    }
}
