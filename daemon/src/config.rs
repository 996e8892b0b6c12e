//! The daemon's settings: from a TOML file and the command line, validated whole before anything
//! is opened. It must report every bad setting, not only the first, and must never open, create
//! or bind what a setting names.

mod access;
mod alerts;
mod metrics;
pub(crate) mod schema;
mod watch;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use bascule_domain::key::IpRule;
use bascule_proto::location;
use toml::de::{DeTable, DeValue};

pub(crate) use access::Access;
pub(crate) use alerts::{AlertSettings, Preset, WebhookSettings};
pub(crate) use metrics::MetricsAt;
pub(crate) use watch::{Schedule, SweepSettings};

/// What the command line says about settings.
#[derive(Debug, Default, Clone)]
pub(crate) struct Flags {
    pub config: Option<PathBuf>,
    pub state_dir: Option<PathBuf>,
    pub runtime_dir: Option<PathBuf>,
    pub gateway: Vec<String>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub allow_plain_http: bool,
    pub sweep_roots: Vec<PathBuf>,
}

/// One address of the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listen {
    pub at: At,
    pub tls: bool,
}

/// An address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    /// The stored port, else the first free one from 8642 on.
    Chosen,
    /// The stored port, else one that the system picks (port 0 was asked for).
    Ephemeral(IpAddr),
    /// Exactly this one.
    Exactly(SocketAddr),
}

impl Listen {
    const DEFAULT: Self = Self {
        at: At::Chosen,
        tls: false,
    };

    /// Whether others than this machine could read and change what passes.
    pub(crate) fn is_plain_beyond_loopback(&self) -> bool {
        !self.tls
            && match self.at {
                At::Chosen => false,
                At::Ephemeral(ip) => !is_loopback(ip),
                At::Exactly(address) => !is_loopback(address.ip()),
            }
    }
}

pub(crate) fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "https://" } else { "http://" })?;
        match self.at {
            At::Chosen => f.write_str("127.0.0.1"),
            At::Ephemeral(ip) => SocketAddr::new(ip, 0).fmt(f),
            At::Exactly(address) => address.fmt(f),
        }
    }
}

/// Where the certificate of the TLS listeners is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
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
    /// What it was read from, to be read again.
    pub flags: Flags,
    /// The file that was read, or would be if it were there.
    pub file: Option<PathBuf>,
    pub state_dir: PathBuf,
    pub runtime_dir: PathBuf,
    /// Where it is noted how many deaths there were; must not be restored together with the state.
    /// Absent without a home.
    pub anchor_dir: Option<PathBuf>,
    /// The address that tools are given, whose port is kept.
    pub listen: Listen,
    /// Further addresses, never [`At::Chosen`].
    pub also: Vec<Listen>,
    /// Set exactly if an address is TLS.
    pub tls: Option<TlsFiles>,
    /// Whether addresses beyond loopback may do without TLS.
    pub allow_plain_http: bool,
    /// Virtual-host style: `<bucket>.<suffix>`.
    pub host_suffix: Option<String>,
    /// Further names by which tools may call the gateway.
    pub hosts: Vec<String>,
    /// Peers whose word on their clients' addresses is believed.
    pub trusted_proxies: Vec<IpRule>,
    pub max_connections: usize,
    pub header_timeout: Duration,
    /// How long SIGTERM and a deletion wait for exchanges with a provider to end.
    pub drain_limit: Duration,
    /// How long uses are kept; `None`: they are not recorded.
    pub usage_keep: Option<Duration>,
    /// Whether servers are asked once a day about the keys of this machine.
    pub probe: bool,
    pub sweeps: SweepSettings,
    pub alerts: AlertSettings,
    pub access: Access,
    /// Where metrics are read from; `None`: nowhere.
    pub metrics: Option<MetricsAt>,
    pub log_level: tracing::Level,
    pub log_format: LogFormat,
    /// One line for each request, without its query string.
    pub log_access: bool,
}

impl Config {
    /// These settings with what another configuration changes at once.
    pub(crate) fn with_changes_of(&self, other: &Self) -> Self {
        Self {
            drain_limit: other.drain_limit,
            probe: other.probe,
            sweeps: other.sweeps.clone(),
            alerts: other.alerts.clone(),
            log_level: other.log_level,
            log_access: other.log_access,
            ..self.clone()
        }
    }

    /// Every address, the first one first.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = Listen> {
        std::iter::once(self.listen).chain(self.also.iter().copied())
    }
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

impl Config {
    /// Whether this daemon is the machine's, which runs as a user of its own.
    pub(crate) fn is_the_machines(&self) -> bool {
        let configured = |file: &PathBuf| file.starts_with(location::SYSTEM_CONFIGURATION);
        self.state_dir.starts_with(location::SYSTEM_STATE)
            || self.file.as_ref().is_some_and(configured)
    }
}

/// Its name in the folder that a service manager keeps for us.
const CONFIG_FILE: &str = "config.toml";

/// The folder that a service manager made for us (systemd.exec(5)). Of several it is not known which
/// one is meant.
fn managed(variable: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(std::env::var_os(variable)?);
    let several = folder.as_os_str().as_encoded_bytes().contains(&b':');
    (folder.is_absolute() && !several).then_some(folder)
}

/// Reads and validates. The file's absence is an error only if it was named.
pub(crate) fn load(flags: &Flags) -> Result<Config, Vec<Problem>> {
    let mut problems = Vec::new();
    let of_service = || managed("CONFIGURATION_DIRECTORY").map(|folder| folder.join(CONFIG_FILE));
    let path = flags.config.clone().or_else(of_service);
    let path = path.or_else(location::config_file);
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
    let mut anchor_dir = None;
    let mut listen = Vec::new();
    let mut certificate = None;
    let mut tls_key = None;
    let mut allow_plain_http = flags.allow_plain_http;
    let mut host_suffix = None;
    let mut hosts = Vec::new();
    let mut trusted_proxies = Vec::new();
    let mut max_connections = 1024;
    let mut header_timeout = Duration::from_secs(30);
    let mut drain_limit = Duration::from_secs(10);
    let mut usage_keep = Duration::from_secs(400 * DAY);
    let mut usage_enabled = true;
    let mut probe = false;
    let mut sweeps = SweepSettings::default();
    let mut alerts = AlertSettings::default();
    let mut access = Access::default();
    let mut metrics = None;
    let mut log_level = tracing::Level::INFO;
    let mut log_format = LogFormat::Auto;
    let mut log_access = false;

    for (key, value) in table.get_ref() {
        let at = key.span().start;
        match key.get_ref().as_ref() {
            "state_dir" => state_dir = file.path(value),
            "runtime_dir" => runtime_dir = file.path(value),
            "anchor_dir" => anchor_dir = file.path(value),
            "gateway" => {
                for (key, value) in file.table("gateway", value) {
                    match key.get_ref().as_ref() {
                        "listen" => listen = file.each(value, parse_listen),
                        "tls_certificate" => certificate = file.path(value),
                        "tls_key" => tls_key = file.path(value),
                        "allow_plain_http_beyond_loopback" => {
                            allow_plain_http |= file.switch(value).unwrap_or_default();
                        }
                        "hosts" => hosts = file.each(value, parse_host_name),
                        "trusted_proxies" => {
                            trusted_proxies = file.each(value, parse_addresses);
                        }
                        "host_suffix" => host_suffix = file.parse(value, parse_host_name),
                        "max_connections" => {
                            max_connections = file
                                .number(value, 1, 65_536)
                                .unwrap_or(max_connections as u64)
                                as usize;
                        }
                        "header_timeout_seconds" => {
                            header_timeout = file.seconds(value, 300).unwrap_or(header_timeout);
                        }
                        "drain_seconds" => {
                            drain_limit = file.seconds(value, 300).unwrap_or(drain_limit);
                        }
                        other => file.unknown(key.span().start, "gateway", other),
                    }
                }
            }
            "usage" => {
                for (key, value) in file.table("usage", value) {
                    match key.get_ref().as_ref() {
                        "enabled" => usage_enabled = file.switch(value).unwrap_or(usage_enabled),
                        "keep" => usage_keep = file.parse(value, parse_keep).unwrap_or(usage_keep),
                        other => file.unknown(key.span().start, "usage", other),
                    }
                }
            }
            "watch" => (sweeps, probe) = self::watch::read(&mut file, value),
            "alerts" => alerts = self::alerts::read(&mut file, value),
            "access" => access = self::access::read(&mut file, value),
            "metrics" => metrics = self::metrics::read(&mut file, value),
            "log" => {
                for (key, value) in file.table("log", value) {
                    match key.get_ref().as_ref() {
                        "level" => log_level = file.parse(value, parse_level).unwrap_or(log_level),
                        "format" => {
                            log_format = file.parse(value, parse_format).unwrap_or(log_format);
                        }
                        "access" => log_access = file.switch(value).unwrap_or(log_access),
                        other => file.unknown(key.span().start, "log", other),
                    }
                }
            }
            other => file.unknown(at, "", other),
        }
    }

    let mut flag = |name: &str, what: String| {
        problems.push(Problem {
            place: name.to_owned(),
            what,
        });
    };
    if !flags.gateway.is_empty() {
        listen.clear();
    }
    for text in &flags.gateway {
        match parse_listen(text) {
            Ok(parsed) => listen.push(parsed),
            Err(what) => flag("--gateway", what),
        }
    }
    for (name, given, slot) in [
        (
            "--gateway-tls-certificate",
            &flags.tls_certificate,
            &mut certificate,
        ),
        ("--gateway-tls-key", &flags.tls_key, &mut tls_key),
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
    if !flags.sweep_roots.is_empty() {
        sweeps.roots.clear();
    }
    for root in &flags.sweep_roots {
        match std::path::absolute(root) {
            Ok(root) => sweeps.roots.push(root),
            Err(error) => flag("--sweep-root", error.to_string()),
        }
    }
    let no_home = "there is no home folder to derive it from; set HOME, or say where";
    let state_given = state_dir.is_some();
    let state_dir = state_dir
        .or_else(|| managed("STATE_DIRECTORY"))
        .or_else(location::state_dir);
    if state_dir.is_none() {
        flag("--state-dir", no_home.to_owned());
    }
    // A daemon with a state folder of its own gets a socket of its own too.
    let runtime_dir = runtime_dir.or_else(|| match &state_dir {
        Some(state) if state_given => Some(state.join("run")),
        _ => managed("RUNTIME_DIRECTORY").or_else(location::runtime_dir),
    });
    if runtime_dir.is_none() {
        flag("--runtime-dir", no_home.to_owned());
    }
    if access.operators.is_some()
        && let (Some(runtime), Some(state)) = (&runtime_dir, &state_dir)
        && runtime.starts_with(state)
    {
        flag(
            "operators",
            "the socket is in the state folder, where no group may come; set runtime_dir too, such as to /run/bascule".to_owned(),
        );
    }
    let anchor_dir = anchor_dir
        .or_else(|| managed("CACHE_DIRECTORY"))
        .or_else(location::anchor_dir);
    let mut listen = listen.into_iter();
    let first = listen.next().unwrap_or(Listen::DEFAULT);
    let also: Vec<_> = listen.collect();
    let tls = check_listeners(first, &also, certificate, tls_key, allow_plain_http).unwrap_or_else(
        |what| {
            flag("--gateway or listen", what);
            None
        },
    );
    Some(Config {
        flags: flags.clone(),
        file: (!name.as_os_str().is_empty()).then(|| name.to_owned()),
        state_dir: state_dir?,
        runtime_dir: runtime_dir?,
        anchor_dir,
        listen: first,
        also,
        tls,
        allow_plain_http,
        host_suffix,
        hosts,
        trusted_proxies,
        max_connections,
        header_timeout,
        drain_limit,
        usage_keep: usage_enabled.then_some(usage_keep),
        probe,
        sweeps,
        alerts,
        access,
        metrics,
        log_level,
        log_format,
        log_access,
    })
}

/// Decides whether the addresses can be served together, and with which certificate.
fn check_listeners(
    first: Listen,
    also: &[Listen],
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    allow_plain_http: bool,
) -> Result<Option<TlsFiles>, String> {
    let all = || std::iter::once(&first).chain(also);
    for (number, listen) in all().enumerate() {
        let twice = |other: &Listen| other.at == listen.at && matches!(listen.at, At::Exactly(_));
        if all().take(number).any(twice) {
            return Err(format!("{listen} is listed twice"));
        }
    }
    if let Some(plain) = all().find(|listen| listen.is_plain_beyond_loopback())
        && !allow_plain_http
    {
        return Err(format!(
            "{plain} is reachable from other machines, which could then read everything that passes; use https:// with tls_certificate and tls_key, or accept that with allow_plain_http_beyond_loopback = true under [gateway] or --allow-plain-http"
        ));
    }
    let secure = all().find(|listen| listen.tls);
    match (secure, certificate, key) {
        (Some(_), Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None, None) => Ok(None),
        (Some(listen), None, _) => Err(format!(
            "{listen} needs a certificate: set tls_certificate under [gateway], or --gateway-tls-certificate"
        )),
        (Some(listen), _, None) => Err(format!(
            "{listen} needs the certificate's key: set tls_key under [gateway], or --gateway-tls-key"
        )),
        (None, ..) => Err(format!(
            "a certificate or its key is set, but no address uses it; write listen = \"{}\"",
            Listen { tls: true, ..first }
        )),
    }
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

    fn unknown(&mut self, at: usize, table: &str, key: &str) {
        let place = if table.is_empty() {
            String::new()
        } else {
            format!(" in [{table}]")
        };
        let hint = match (schema::elsewhere(key), schema::nearest(table, key)) {
            (Some(full), _) => match full.rsplit_once('.') {
                Some((table, _)) => format!("it belongs to [{table}]"),
                None => "it belongs before the first table".to_owned(),
            },
            (None, Some(near)) => format!("did you mean {near}?"),
            (None, None) => format!("known are {}", schema::known(table).join(", ")),
        };
        self.report(at, format!("unknown setting {key:?}{place}; {hint}"));
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

    /// One text, or a list of texts.
    fn each<T>(&mut self, value: &Value<'_>, parse: fn(&str) -> Result<T, String>) -> Vec<T> {
        match value.get_ref() {
            DeValue::Array(values) => values
                .iter()
                .filter_map(|value| self.parse(value, parse))
                .collect(),
            _ => self.parse(value, parse).into_iter().collect(),
        }
    }

    fn path(&mut self, value: &Value<'_>) -> Option<PathBuf> {
        self.parse(value, parse_absolute)
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

    fn switch(&mut self, value: &Value<'_>) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(on) => Some(*on),
            _ => {
                self.report(value.span().start, "must be true or false".to_owned());
                None
            }
        }
    }

    fn seconds(&mut self, value: &Value<'_>, most: u64) -> Option<Duration> {
        self.number(value, 1, most).map(Duration::from_secs)
    }
}

fn parse_absolute(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() {
        Ok(path)
    } else {
        Err("must be an absolute path".to_owned())
    }
}

fn parse_listen(text: &str) -> Result<Listen, String> {
    let (tls, rest) = match text.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => (false, text),
    };
    let address: SocketAddr = rest.parse().map_err(|_| {
        format!("{text:?} is not ADDRESS:PORT, such as 127.0.0.1:8642 or https://172.17.0.1:8643")
    })?;
    let at = if address.port() == 0 {
        At::Ephemeral(address.ip())
    } else {
        At::Exactly(address)
    };
    Ok(Listen { at, tls })
}

fn parse_host_name(text: &str) -> Result<String, String> {
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

/// Seconds in a day.
const DAY: u64 = 86_400;

/// `400d`, `52w` or `1y`, from a day to ten years.
fn parse_keep(text: &str) -> Result<Duration, String> {
    let days = |suffix, days: u64| {
        let number: u64 = text.strip_suffix(suffix)?.parse().ok()?;
        number.checked_mul(days)
    };
    days('d', 1)
        .or_else(|| days('w', 7))
        .or_else(|| days('y', 365))
        .filter(|days| (1..=3_660).contains(days))
        .map(|days| Duration::from_secs(days * DAY))
        .ok_or_else(|| format!("{text:?} is not a time such as 400d, 52w or 1y, ten years at most"))
}

fn parse_addresses(text: &str) -> Result<IpRule, String> {
    text.parse()
        .map_err(|error| format!("{text:?} is no range of addresses: {error}"))
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

    pub(super) fn check(text: &str) -> Result<Config, Vec<String>> {
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
    fn trusted_proxies_are_ranges_and_single_addresses() {
        let config =
            check("[gateway]\ntrusted_proxies = [\"10.0.0.0/8\", \"::ffff:192.0.2.1\"]\n").unwrap();
        let shown: Vec<_> = config
            .trusted_proxies
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.0.2.1/32"]);
        assert!(check("").unwrap().trusted_proxies.is_empty());
        for bad in ["\"proxy.test\"", "[\"10.0.0.0/33\"]", "8"] {
            let problems = check(&format!("[gateway]\ntrusted_proxies = {bad}\n")).unwrap_err();
            assert!(problems[0].starts_with("config.toml:2: "), "{problems:?}");
        }
    }

    #[test]
    fn every_bad_setting_is_named_with_its_line() {
        let problems = check(
            "state_dir = \"relative\"\ntypo = 1\n[gateway]\nlisten = \"0.0.0.0\"\nmax_connections = 0\n[log]\nlevel = 3\nformat = \"loud\"\n",
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
            Listen {
                at: At::Exactly("127.0.0.1:9999".parse().unwrap()),
                tls: false
            }
        );
        assert_eq!(config.drain_limit, Duration::from_secs(3));
        assert_eq!(config.log_level, tracing::Level::DEBUG);
    }

    #[test]
    fn uses_are_kept_as_long_as_it_is_set_and_400_days_by_default() {
        let keep = |text: &str| check(text).map(|config| config.usage_keep);
        let days = |number| Some(Duration::from_secs(number * DAY));
        assert_eq!(keep("").unwrap(), days(400));
        assert_eq!(keep("[usage]\nkeep = \"2w\"").unwrap(), days(14));
        assert_eq!(keep("[usage]\nenabled = false").unwrap(), None);
        for wrong in [
            "0d",
            "11y",
            "400",
            "d",
            "-1d",
            "99999999999999999999d",
            "18446744073709551615y",
        ] {
            assert!(
                keep(&format!("[usage]\nkeep = \"{wrong}\"")).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_state_folder_of_its_own_brings_a_socket_of_its_own() {
        assert_eq!(check("").unwrap().runtime_dir, Path::new("/tmp/x/run"));
    }

    fn listen(settings: &str) -> Result<Config, String> {
        check(&format!("[gateway]\n{settings}")).map_err(|problems| problems.join("\n"))
    }

    #[test]
    fn several_addresses_are_one_list_and_the_first_is_the_main_one() {
        let files = "tls_certificate = \"/c.pem\"\ntls_key = \"/k.pem\"\n";
        let config = listen(&format!(
            "listen = [\"127.0.0.1:0\", \"https://[::]:8643\"]\n{files}"
        ))
        .unwrap();
        assert_eq!(config.listen.at, At::Ephemeral([127, 0, 0, 1].into()));
        assert_eq!(config.also.len(), 1);
        assert_eq!(config.also[0].to_string(), "https://[::]:8643");
        assert_eq!(config.tls.unwrap().key, Path::new("/k.pem"));
        assert!(listen("listen = [\"127.0.0.1:9\", \"http://127.0.0.1:9\"]").is_err());
    }

    #[test]
    fn plain_http_beyond_loopback_needs_a_word() {
        for address in [
            "0.0.0.0:80",
            "[::]:80",
            "192.0.2.1:0",
            "[fd00::1]:80",
            "[::ffff:192.0.2.1]:80",
        ] {
            for list in [
                format!("listen = \"{address}\""),
                format!("listen = [\"127.0.0.1:0\", \"http://{address}\"]"),
            ] {
                let problem = listen(&list).unwrap_err();
                assert!(
                    problem.contains("allow_plain_http_beyond_loopback = true"),
                    "{problem}"
                );
                listen(&format!("{list}\nallow_plain_http_beyond_loopback = true")).unwrap();
                assert!(
                    listen(&format!("{list}\nallow_plain_http_beyond_loopback = false")).is_err()
                );
            }
        }
        for address in [
            "127.0.0.1:80",
            "127.9.9.9:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
        ] {
            listen(&format!("listen = \"{address}\"")).unwrap();
        }
    }

    #[test]
    fn a_certificate_and_https_come_together() {
        for settings in [
            "listen = \"https://127.0.0.1:1\"",
            "listen = \"https://127.0.0.1:1\"\ntls_certificate = \"/c.pem\"",
            "listen = \"https://127.0.0.1:1\"\ntls_key = \"/k.pem\"",
            "listen = \"127.0.0.1:1\"\ntls_certificate = \"/c.pem\"\ntls_key = \"/k.pem\"",
            "tls_key = \"/k.pem\"",
            "listen = \"ftp://127.0.0.1:1\"",
        ] {
            assert!(listen(settings).is_err(), "{settings}");
        }
    }

    #[test]
    fn hosts_are_names_in_lower_case() {
        let config = listen("hosts = [\"host.docker.internal\", \"nas\"]").unwrap();
        assert_eq!(config.hosts, ["host.docker.internal", "nas"]);
        assert!(listen("hosts = [\"evil:80\"]").is_err());
    }
}
