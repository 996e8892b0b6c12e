//! Where a provider is: endpoint, region, addressing style.

use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::names::BucketName;

/// Why an endpoint was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// No `http://` or `https://`.
    #[error("an endpoint starts with https:// or http://")]
    Scheme,
    /// User and password inside the URL would end up in files and logs.
    #[error("an endpoint must not hold a user or password")]
    UserInfo,
    /// A path, query or fragment: the bucket goes into --bucket.
    #[error("an endpoint is only scheme, host and port; the bucket goes into --bucket")]
    Path,
    /// The host is empty or not a host name or address.
    #[error("the endpoint's host is not a host name or an IP address")]
    Host,
    /// The port is not a number from 1 to 65535.
    #[error("the endpoint's port is not a number from 1 to 65535")]
    Port,
}

/// A provider's server: scheme, host and port, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint {
    tls: bool,
    host: Box<str>,
    port: Option<u16>,
}

impl Endpoint {
    /// Whether the connection to it is encrypted.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// The host without port; an IPv6 address stands in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port that is dialled.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.tls { 443 } else { 80 })
    }

    /// The host when it is an address.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        self.host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .ok()
    }

    /// Whether it is on this machine's loopback, by its address or as `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.ip() {
            Some(ip) => ip.to_canonical().is_loopback(),
            None => &*self.host == "localhost",
        }
    }

    /// What goes into the `Host` header for path-style requests.
    #[must_use]
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.to_string(),
        }
    }

    /// The authority for a bucket in virtual-host style.
    #[must_use]
    pub fn bucket_authority(&self, bucket: &BucketName) -> String {
        format!("{bucket}.{}", self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        let lower = text.trim().to_ascii_lowercase();
        let (tls, rest) = if let Some(rest) = lower.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = lower.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err(EndpointError::Scheme);
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains('@') {
            return Err(EndpointError::UserInfo);
        }
        if rest.contains(['/', '?', '#', '\\']) {
            return Err(EndpointError::Path);
        }
        let (host, port) = match rest.rfind(':') {
            Some(at) if !rest[at..].contains(']') => (&rest[..at], Some(&rest[at + 1..])),
            _ => (rest, None),
        };
        if !valid_host(host) {
            return Err(EndpointError::Host);
        }
        let port = match port {
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port > 0 && !digits.starts_with('+') => Some(port),
                _ => return Err(EndpointError::Port),
            },
            None => None,
        };
        // The default port is left out of `Host`, as clients do.
        let port = port.filter(|&port| port != if tls { 443 } else { 80 });
        Ok(Self {
            tls,
            host: host.into(),
            port,
        })
    }
}

fn valid_host(host: &str) -> bool {
    if let Some(inner) = host.strip_prefix('[') {
        return inner
            .strip_suffix(']')
            .is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok());
    }
    (1..=253).contains(&host.len())
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        text.parse()
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> String {
        endpoint.to_string()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority())
    }
}

/// The text is not a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a region has 1 to 64 letters, digits, '-' or '_'")]
pub struct RegionError;

/// The region that upstream requests are signed for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Cow<'static, str>);

impl Region {
    /// What R2 calls its only region, and what clients of our gateway are told.
    pub const AUTO: Self = Self(Cow::Borrowed("auto"));

    /// The region itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Region {
    type Err = RegionError;

    fn from_str(text: &str) -> Result<Self, RegionError> {
        let fits = (1..=64).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if fits {
            Ok(Self(Cow::Owned(text.to_owned())))
        } else {
            Err(RegionError)
        }
    }
}

impl TryFrom<String> for Region {
    type Error = RegionError;

    fn try_from(text: String) -> Result<Self, RegionError> {
        text.parse()
    }
}

impl From<Region> for String {
    fn from(region: Region) -> String {
        region.0.into_owned()
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// How a bucket is addressed upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Addressing {
    /// `https://host/bucket/key`.
    Path,
    /// `https://bucket.host/key`.
    VirtualHost,
}

impl Addressing {
    /// How this bucket is addressed. One whose name is no host label goes by path: with a dot in
    /// it no wildcard certificate matches.
    #[must_use]
    pub fn of(self, bucket: &BucketName) -> Self {
        let name = bucket.as_str();
        let is_label = name.len() <= 63
            && name
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if is_label { self } else { Self::Path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_an_address_of_it_or_localhost_and_nothing_else() {
        let is_loopback = |text: &str| text.parse::<Endpoint>().unwrap().is_loopback();
        for here in ["http://127.0.0.1:1", "http://[::1]:1", "https://localhost"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in ["https://172.17.0.1", "https://localhost.example.com"] {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn endpoints_are_parsed_and_printed_in_one_form() {
        for (text, printed) in [
            ("https://S3.Example.com/", "https://s3.example.com"),
            ("https://s3.example.com:443", "https://s3.example.com"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://[::1]:9000", "http://[::1]:9000"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), printed);
        }
    }

    #[test]
    fn buckets_that_are_no_host_label_are_addressed_by_path() {
        for (bucket, expected) in [
            ("photos", Addressing::VirtualHost),
            ("my.photos", Addressing::Path),
            ("Photos", Addressing::Path),
            ("my_photos", Addressing::Path),
        ] {
            let bucket = bucket.parse().unwrap();
            assert_eq!(Addressing::VirtualHost.of(&bucket), expected);
            assert_eq!(Addressing::Path.of(&bucket), Addressing::Path);
        }
    }

    #[test]
    fn hostile_endpoints_are_refused() {
        for (text, error) in [
            ("s3.example.com", EndpointError::Scheme),
            ("ftp://x", EndpointError::Scheme),
            ("https://user:pw@x", EndpointError::UserInfo),
            ("https://x/bucket", EndpointError::Path),
            ("https://x?y", EndpointError::Path),
            ("https://", EndpointError::Host),
            ("https://a b", EndpointError::Host),
            ("https://[::1", EndpointError::Host),
            ("https://x:0", EndpointError::Port),
            ("https://x:99999", EndpointError::Port),
            ("https://x:+80", EndpointError::Port),
            ("https://x\r\nhost: y", EndpointError::Host),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap_err(), error, "{text}");
        }
    }
}
