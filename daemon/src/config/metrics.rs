//! `[metrics]`: where figures are read from. Off unless it is asked for (threats.md E6).

use std::{fmt, net::SocketAddr, path::PathBuf};

use super::{File, Value, is_loopback, parse_absolute};

/// Where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetricsAt {
    /// A loopback port.
    Tcp(SocketAddr),
    /// A socket that is its owner's.
    Unix(PathBuf),
}

impl fmt::Display for MetricsAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Reads the table.
pub(super) fn read(file: &mut File<'_>, value: &Value<'_>) -> Option<MetricsAt> {
    let mut at = None;
    for (key, value) in file.table("metrics", value) {
        match key.get_ref().as_ref() {
            "listen" => at = file.parse(value, parse),
            other => file.unknown(key.span().start, "metrics", other),
        }
    }
    at
}

fn parse(text: &str) -> Result<MetricsAt, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return parse_absolute(path).map(MetricsAt::Unix);
    }
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is neither unix:/PATH nor ADDRESS:PORT"))?;
    match is_loopback(address.ip()) {
        true => Ok(MetricsAt::Tcp(address)),
        false => Err(format!(
            "{address} is reachable from other machines, and metrics are neither encrypted nor asked for a name; use 127.0.0.1 or a unix: socket, with a proxy before it"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::check, *};

    #[test]
    fn e6_metrics_are_off_unless_asked_for_and_never_beyond_this_machine() {
        let at =
            |text: &str| check(&format!("[metrics]\nlisten = \"{text}\"\n")).map(|c| c.metrics);
        assert_eq!(check("").unwrap().metrics, None);
        assert_eq!(
            at("unix:/run/x/m").unwrap(),
            Some(MetricsAt::Unix("/run/x/m".into()))
        );
        assert_eq!(at("[::1]:9").unwrap().unwrap().to_string(), "[::1]:9");
        for bad in [
            "0.0.0.0:9",
            "192.0.2.1:9",
            "unix:m",
            "9100",
            "localhost:9100",
        ] {
            assert!(at(bad).is_err(), "{bad}");
        }
    }
}
