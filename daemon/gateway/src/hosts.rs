//! What the `Host` of a request names: this gateway, or a bucket of it (gateway.md 51). It must
//! never take a foreign name for ours: a web page could have had it point here (threats.md E4).

use std::net::{Ipv4Addr, Ipv6Addr};

/// Names of the gateway besides its addresses and `localhost`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts {
    /// `<bucket>.<suffix>` names a bucket, and the suffix itself the gateway.
    pub(crate) suffix: Option<String>,
    /// Further names of the gateway.
    pub(crate) names: Vec<String>,
}

/// What a host names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named<'a> {
    Gateway,
    Bucket(&'a str),
}

impl Hosts {
    /// Reads the value of a `Host` header. `None` for a name that is not ours.
    pub(crate) fn read<'a>(&self, host: &'a str) -> Option<Named<'a>> {
        let name = without_port(host)?;
        if let Some(inner) = name.strip_prefix('[') {
            let address = inner.strip_suffix(']')?;
            return address.parse::<Ipv6Addr>().ok().map(|_| Named::Gateway);
        }
        let known = |known: &String| known.eq_ignore_ascii_case(name);
        if name.parse::<Ipv4Addr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(known)
        {
            return Some(Named::Gateway);
        }
        let suffix = self.suffix.as_deref()?;
        let at = name.len().checked_sub(suffix.len())?;
        if !name.get(at..)?.eq_ignore_ascii_case(suffix) {
            return None;
        }
        match name.get(..at)? {
            "" => Some(Named::Gateway),
            bucket => bucket
                .strip_suffix('.')
                .filter(|bucket| !bucket.is_empty())
                .map(Named::Bucket),
        }
    }
}

fn without_port(host: &str) -> Option<&str> {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => {
            let fits = port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
            fits.then_some(name)
        }
        _ => Some(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts {
            suffix: Some("s3.local".into()),
            names: vec!["host.docker.internal".into()],
        }
    }

    #[test]
    fn r51_addresses_and_configured_names_are_ours() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:8642",
            "172.17.0.1:1",
            "[::1]",
            "[::1]:8642",
            "[fd00::1]:65535",
            "localhost",
            "LocalHost:8642",
            "host.docker.internal:8642",
            "Host.Docker.Internal",
            "s3.local:8642",
            "S3.local",
        ] {
            assert_eq!(hosts().read(host), Some(Named::Gateway), "{host}");
        }
    }

    #[test]
    fn r51_only_the_configured_suffix_makes_a_virtual_host() {
        let bucket = |host| hosts().read(host);
        assert_eq!(
            bucket("photos.s3.local:8642"),
            Some(Named::Bucket("photos"))
        );
        assert_eq!(bucket("a.b.S3.local"), Some(Named::Bucket("a.b")));
        assert_eq!(Hosts::default().read("photos.s3.local"), None);
    }

    #[test]
    fn e4_every_other_name_is_foreign() {
        for host in [
            "",
            "evil.example",
            "evil.example:8642",
            ".s3.local",
            "photosxs3.local",
            "s3.local.evil.example",
            "localhost.evil.example",
            "a.localhost",
            "localhost.",
            "127.1",
            "0x7f.0.0.1",
            "127.0.0.1.evil.example",
            "127.0.0.1:8642:1",
            "127.0.0.1:port",
            "127.0.0.1:123456",
            "user@127.0.0.1",
            "::1",
            "[::1",
            "[::1]x",
            "[127.0.0.1]",
            "[::1]:8642]",
            "éé.s3.local.",
        ] {
            assert_eq!(hosts().read(host), None, "{host}");
        }
    }
}
