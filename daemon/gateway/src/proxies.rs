//! From where a request comes. Forwarding headers count for something only where the socket's peer
//! is a proxy that the settings name (gateway.md 52; threats.md B8). It must never let a client
//! choose its own address.

use std::net::{IpAddr, SocketAddr};

use bascule_domain::key::IpRule;
use http::HeaderMap;

const FORWARDED: &str = "x-forwarded-for";

/// A trusted proxy says something that is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The client's address: the socket's peer, or the last one in `X-Forwarded-For` that is not a
/// trusted proxy itself. What stands before it is the client's own word.
pub(crate) fn origin(
    trusted: &[IpRule],
    peer: IpAddr,
    headers: &HeaderMap,
) -> Result<IpAddr, Malformed> {
    let is_proxy = |address: IpAddr| trusted.iter().any(|rule| rule.admits(address));
    let mut origin = peer.to_canonical();
    if !is_proxy(origin) {
        return Ok(origin);
    }
    for line in headers.get_all(FORWARDED).iter().rev() {
        for text in line.as_bytes().rsplit(|&b| b == b',') {
            // Taking the proxy for the client instead would give a client that can spoil the
            // header the rights of the proxy's address, which is often loopback.
            origin = address(text.trim_ascii()).ok_or(Malformed)?;
            if !is_proxy(origin) {
                return Ok(origin);
            }
        }
    }
    Ok(origin)
}

/// Whether a trusted proxy has passed the request on, so that the connection is not its client's.
pub(crate) fn relayed(trusted: &[IpRule], peer: IpAddr, headers: &HeaderMap) -> bool {
    let peer = peer.to_canonical();
    trusted.iter().any(|rule| rule.admits(peer)) && headers.contains_key(FORWARDED)
}

/// `192.0.2.1`, `2001:db8::1` or `[2001:db8::1]`, with or without a port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let parsed = match bare {
        Some(bare) => IpAddr::V6(bare.parse().ok()?),
        None => text
            .parse()
            .or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()))
            .ok()?,
    };
    Some(parsed.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_trusted_proxy_passes_on_is_relayed() {
        let trusted = [IpRule("127.0.0.1/32".parse().unwrap())];
        let mut headers = HeaderMap::new();
        let proxy = "::ffff:127.0.0.1".parse().unwrap();
        assert!(
            !relayed(&trusted, proxy, &headers),
            "a tool beside the proxy"
        );
        headers.append(FORWARDED, "127.0.0.1".parse().unwrap());
        assert!(relayed(&trusted, proxy, &headers));
        assert!(!relayed(&trusted, "127.0.0.2".parse().unwrap(), &headers));
    }

    fn from(peer: &str, lines: &[&str]) -> Result<String, Malformed> {
        let trusted: Vec<IpRule> = ["10.0.0.0/8", "127.0.0.1/32", "fd00::/8"]
            .into_iter()
            .map(|rule| IpRule(rule.parse().unwrap()))
            .collect();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED, line.parse().unwrap());
        }
        origin(&trusted, peer.parse().unwrap(), &headers).map(|origin| origin.to_string())
    }

    #[test]
    fn b8_a_stranger_names_no_address_but_its_own() {
        for line in ["127.0.0.1", "10.1.1.1", "nonsense", ""] {
            assert_eq!(from("192.0.2.9", &[line]).unwrap(), "192.0.2.9");
        }
        assert_eq!(
            from("::ffff:192.0.2.9", &["127.0.0.1"]).unwrap(),
            "192.0.2.9"
        );
    }

    #[test]
    fn b8_a_proxy_names_its_client_and_what_the_client_says_counts_for_nothing() {
        for (lines, expected) in [
            (&["203.0.113.5"][..], "203.0.113.5"),
            (&["127.0.0.1, 203.0.113.5"], "203.0.113.5"),
            (&["127.0.0.1", "203.0.113.5"], "203.0.113.5"),
            (&["nonsense, 203.0.113.5, 10.9.9.9"], "203.0.113.5"),
            (&["203.0.113.5:4711"], "203.0.113.5"),
            (&["[2001:db8::1]:443"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["2001:db8::1"], "2001:db8::1"),
            (&["::ffff:203.0.113.5"], "203.0.113.5"),
            (&["::ffff:10.0.0.9"], "10.0.0.9"),
            (&["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
            (&[], "10.0.0.1"),
        ] {
            assert_eq!(from("10.0.0.1", lines).unwrap(), expected, "{lines:?}");
            if !lines.is_empty() {
                assert_eq!(from("::ffff:127.0.0.1", lines).unwrap(), expected);
            }
        }
    }

    #[test]
    fn b8_what_a_proxy_says_and_cannot_be_read_is_never_taken_for_the_proxy() {
        for line in [
            "",
            "unknown",
            "203.0.113.5,",
            "203.0.113.5, , 10.0.0.9",
            "[::1",
            "1.2.3",
        ] {
            assert_eq!(from("127.0.0.1", &[line]), Err(Malformed), "{line:?}");
        }
    }
}
