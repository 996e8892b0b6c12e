//! The daemon's settings: from a TOML file and the command line, validated whole before anything
//! is opened. It must report every bad setting, not only the first, and must never open, create
//! or bind what a setting names.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use bascule_proto::location;
use toml::de::{DeTable, DeValue};

/// What the command line says about settings.
#[derive(Debug, Default, Clone)]
pub(crate) struct Flags {
    pub config: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub runtime_dir: Option<PathBuf>,
    pub gateway: Option<String>,
}

/// Where the gateway listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listen {
    /// The stored port, else the first free one from 8642 on.
    Chosen,
    /// The stored port, else one that the system picks (port 0 was asked for).
    Ephemeral(std::net::IpAddr),
    /// Exactly this one.
    Exactly(SocketAddr),
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Human on a terminal, journald under systemd, JSON otherwise.
    Auto,
    Human,
    Json,
    Journald,
}

/// Valid settings.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub state_dir: PathBuf,
    pub runtime_dir: PathBuf,
    pub listen: Listen,
    /// Virtual-host style: `<bucket>.<suffix>`.
    pub host_suffix: Option<String>,
    pub max_connections: usize,
    pub header_timeout: Duration,
    /// How long SIGTERM and a deletion wait for exchanges with a provider to end.
    pub drain_limit: Duration,
    pub log_level: tracing::Level,
    pub log_format: LogFormat,
}

/// One bad setting.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `file:line` or the flag.
    pub place: String,
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)
    }
}

/// Reads and validates. The file's absence is an error only if it was named.
pub(crate) fn load(flags: &Flags) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let path = flags.config.clone().or_else(location::config_file);
    let text = match &path {
        None => String::new(),
        Some(path) => match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound && flags.config.is_none() =>
            {
                String::new()
            }
            Err(error) => {
                problems.push(Problem {
                    place: path.display().to_string(),
                    what: error.to_string(),
                });
                String::new()
            }
        },
    };
    let name = path.unwrap_or_default();
    let config = validate(&name, &text, flags, &mut problems);
    match config {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(problems),
    }
}

fn validate(name: &Path, text: &str, flags: &Flags, problems: &mut Vec<Problem>) -> Option<Config> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut file = File {
        name,
        text,
        problems,
    };
    for error in errors {
        file.report(
            error.span().map_or(0, |span| span.start),
            error.message().to_owned(),
        );
    }
    let mut state_dir = None;
    let mut runtime_dir = None;
    let mut listen = None;
    let mut host_suffix = None;
    let mut max_connections = 1024;
    let mut header_timeout = Duration::from_secs(30);
    let mut drain_limit = Duration::from_secs(10);
    let mut log_level = tracing::Level::INFO;
    let mut log_format = LogFormat::Auto;

    for (key, value) in table.get_ref() {
        let at = key.span().start;
        match key.get_ref().as_ref() {
            "state_dir" => state_dir = file.folder(value),
            "runtime_dir" => runtime_dir = file.folder(value),
            "gateway" => {
                for (key, value) in file.table("gateway", value) {
                    match key.get_ref().as_ref() {
                        "listen" => listen = file.parse(value, parse_listen),
                        "host_suffix" => host_suffix = file.parse(value, parse_host_suffix),
                        "max_connections" => {
                            max_connections = file.number(value, 1, 65_536).unwrap_or(max_connections as u64) as usize;
                        }
                        "header_timeout_seconds" => {
                            header_timeout = file.seconds(value, 300).unwrap_or(header_timeout);
                        }
                        "drain_seconds" => drain_limit = file.seconds(value, 300).unwrap_or(drain_limit),
                        other => file.unknown(key.span().start, "gateway", other, "listen, host_suffix, max_connections, header_timeout_seconds, drain_seconds"),
                    }
                }
            }
            "log" => {
                for (key, value) in file.table("log", value) {
                    match key.get_ref().as_ref() {
                        "level" => log_level = file.parse(value, parse_level).unwrap_or(log_level),
                        "format" => {
                            log_format = file.parse(value, parse_format).unwrap_or(log_format);
                        }
                        other => file.unknown(key.span().start, "log", other, "level, format"),
                    }
                }
            }
            other => file.unknown(at, "", other, "state_dir, runtime_dir, gateway, log"),
        }
    }

    let mut flag = |name: &str, what: String| {
        problems.push(Problem {
            place: name.to_owned(),
            what,
        });
    };
    if let Some(text) = &flags.gateway {
        match parse_listen(text) {
            Ok(parsed) => listen = Some(parsed),
            Err(what) => flag("--gateway", what),
        }
    }
    for (name, given, slot) in [
        ("--state-dir", &flags.state_dir, &mut state_dir),
        ("--runtime-dir", &flags.runtime_dir, &mut runtime_dir),
    ] {
        if let Some(path) = given {
            match std::path::absolute(path) {
                Ok(path) => *slot = Some(path),
                Err(error) => flag(name, error.to_string()),
            }
        }
    }
    let no_home = "there is no home folder to derive it from; set HOME, or say where";
    let state_given = state_dir.is_some();
    let state_dir = state_dir.or_else(location::state_dir);
    if state_dir.is_none() {
        flag("--state-dir", no_home.to_owned());
    }
    // A daemon with a state folder of its own gets a socket of its own too.
    let runtime_dir = runtime_dir.or_else(|| match &state_dir {
        Some(state) if state_given => Some(state.join("run")),
        _ => location::runtime_dir(),
    });
    if runtime_dir.is_none() {
        flag("--runtime-dir", no_home.to_owned());
    }
    Some(Config {
        state_dir: state_dir?,
        runtime_dir: runtime_dir?,
        listen: listen.unwrap_or(Listen::Chosen),
        host_suffix,
        max_connections,
        header_timeout,
        drain_limit,
        log_level,
        log_format,
    })
}

struct File<'a> {
    name: &'a Path,
    text: &'a str,
    problems: &'a mut Vec<Problem>,
}

type Value<'i> = toml::Spanned<DeValue<'i>>;

impl File<'_> {
    fn report(&mut self, at: usize, what: String) {
        let line = 1 + self.text.bytes().take(at).filter(|&b| b == b'\n').count();
        self.problems.push(Problem {
            place: format!("{}:{line}", self.name.display()),
            what,
        });
    }

    fn unknown(&mut self, at: usize, table: &str, key: &str, known: &str) {
        let place = if table.is_empty() {
            String::new()
        } else {
            format!(" in [{table}]")
        };
        self.report(
            at,
            format!("unknown setting {key:?}{place}; known are {known}"),
        );
    }

    fn table<'v, 'i>(
        &mut self,
        name: &str,
        value: &'v Value<'i>,
    ) -> impl Iterator<Item = (&'v toml::Spanned<toml::de::DeString<'i>>, &'v Value<'i>)> + use<'v, 'i>
    {
        let table = match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.report(
                    value.span().start,
                    format!("{name} must be a table: [{name}]"),
                );
                None
            }
        };
        table.into_iter().flat_map(|table| table.iter())
    }

    fn parse<T>(&mut self, value: &Value<'_>, parse: fn(&str) -> Result<T, String>) -> Option<T> {
        let result = match value.get_ref() {
            DeValue::String(text) => parse(text),
            _ => Err("must be a text in quotes".to_owned()),
        };
        result
            .map_err(|what| self.report(value.span().start, what))
            .ok()
    }

    fn folder(&mut self, value: &Value<'_>) -> Option<PathBuf> {
        self.parse(value, |text| {
            let path = PathBuf::from(text);
            if path.is_absolute() {
                Ok(path)
            } else {
                Err("must be an absolute path".to_owned())
            }
        })
    }

    fn number(&mut self, value: &Value<'_>, least: u64, most: u64) -> Option<u64> {
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().parse::<u64>().ok(),
            _ => None,
        };
        let number = number.filter(|n| (least..=most).contains(n));
        if number.is_none() {
            self.report(
                value.span().start,
                format!("must be a whole number from {least} to {most}"),
            );
        }
        number
    }

    fn seconds(&mut self, value: &Value<'_>, most: u64) -> Option<Duration> {
        self.number(value, 1, most).map(Duration::from_secs)
    }
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| format!("{text:?} is not ADDRESS:PORT, such as 127.0.0.1:8642"))?;
    if !address.ip().is_loopback() {
        return Err(format!(
            "{} is not a loopback address; listening beyond this machine is not available yet",
            address.ip()
        ));
    }
    Ok(if address.port() == 0 {
        Listen::Ephemeral(address.ip())
    } else {
        Listen::Exactly(address)
    })
}

fn parse_host_suffix(text: &str) -> Result<String, String> {
    let fits = (1..=190).contains(&text.len())
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!("{text:?} is not a host name in lower case"))
    }
}

fn parse_level(text: &str) -> Result<tracing::Level, String> {
    text.parse()
        .map_err(|_| format!("unknown level {text:?}; known are error, warn, info, debug, trace"))
}

fn parse_format(text: &str) -> Result<LogFormat, String> {
    Ok(match text {
        "auto" => LogFormat::Auto,
        "human" => LogFormat::Human,
        "json" => LogFormat::Json,
        "journald" => LogFormat::Journald,
        _ => {
            return Err(format!(
                "unknown format {text:?}; known are auto, human, json, journald"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<Config, Vec<String>> {
        let flags = Flags {
            state_dir: Some("/tmp/x".into()),
            ..Flags::default()
        };
        let mut problems = Vec::new();
        let config = validate(Path::new("config.toml"), text, &flags, &mut problems);
        if problems.is_empty() {
            Ok(config.unwrap())
        } else {
            Err(problems.iter().map(ToString::to_string).collect())
        }
    }

    #[test]
    fn every_bad_setting_is_named_with_its_line() {
        let problems = check(
            "state_dir = \"relative\"\ntypo = 1\n[gateway]\nlisten = \"0.0.0.0:80\"\nmax_connections = 0\n[log]\nlevel = 3\nformat = \"loud\"\n",
        )
        .unwrap_err();
        let lines: Vec<_> = problems
            .iter()
            .map(|p| p.split(": ").next().unwrap())
            .collect();
        assert_eq!(
            lines
                .iter()
                .copied()
                .collect::<std::collections::BTreeSet<_>>(),
            [
                "config.toml:1",
                "config.toml:2",
                "config.toml:4",
                "config.toml:5",
                "config.toml:7",
                "config.toml:8"
            ]
            .into()
        );
    }

    #[test]
    fn syntax_errors_do_not_hide_bad_settings() {
        let problems = check("a = \n[gateway]\nlisten = \"nowhere\"\n").unwrap_err();
        assert!(
            problems.iter().any(|p| p.starts_with("config.toml:1")),
            "{problems:?}"
        );
        assert!(
            problems.iter().any(|p| p.contains("nowhere")),
            "{problems:?}"
        );
    }

    #[test]
    fn good_settings_are_taken() {
        let config = check(
            "[gateway]\nlisten = \"127.0.0.1:9999\"\ndrain_seconds = 3\n[log]\nlevel = \"debug\"\n",
        )
        .unwrap();
        assert_eq!(
            config.listen,
            Listen::Exactly("127.0.0.1:9999".parse().unwrap())
        );
        assert_eq!(config.drain_limit, Duration::from_secs(3));
        assert_eq!(config.log_level, tracing::Level::DEBUG);
    }

    #[test]
    fn a_state_folder_of_its_own_brings_a_socket_of_its_own() {
        assert_eq!(check("").unwrap().runtime_dir, Path::new("/tmp/x/run"));
    }
}
