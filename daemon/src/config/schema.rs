//! Every setting by name: what it means, what it is unless it is set, and whether a change of it is in
//! force at once. What is unknown is told from this, and so are the example file and what a reload
//! changed; nothing of it decides what a value may be. No secret is ever shown: settings name files.

use std::{fmt::Write as _, path::Path};

use super::{Config, DAY, LogFormat};

/// When a changed setting is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Applies {
    /// With `bascule reload`.
    AtOnce,
    /// What it is about was opened or bound at the start.
    AfterRestart,
}

/// One setting.
pub(crate) struct Setting {
    /// With its table: `gateway.listen`.
    pub name: &'static str,
    pub applies: Applies,
    /// What it means, in lines that fit a comment.
    pub meaning: &'static str,
    /// A value in TOML, valid together with all other examples; the default where there is one.
    pub example: &'static str,
    /// Whether the example is the default.
    pub is_default: bool,
    /// What is in force, in TOML; empty if nothing is set.
    pub shown: fn(&Config) -> String,
}

/// All of them, in the order of the example file: a table's stand together.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "state_dir",
        applies: Applies::AfterRestart,
        meaning: "Folder for what must survive: connections, keys, journal.\nDefault: $XDG_STATE_HOME/bascule, else ~/.local/state/bascule.",
        example: "\"/var/lib/bascule\"",
        is_default: false,
        shown: |config| path(Some(&config.state_dir)),
    },
    Setting {
        name: "runtime_dir",
        applies: Applies::AfterRestart,
        meaning: "Folder for the control socket.\nDefault: $XDG_RUNTIME_DIR/bascule; \"run\" in the state folder if that is set.",
        example: "\"/run/bascule\"",
        is_default: false,
        shown: |config| path(Some(&config.runtime_dir)),
    },
    Setting {
        name: "anchor_dir",
        applies: Applies::AfterRestart,
        meaning: "Folder for the count of deaths that tells when the state folder was put back from\noutside; it must not be restored together with the state.\nDefault: $XDG_CACHE_HOME/bascule, else ~/.cache/bascule.",
        example: "\"/var/cache/bascule\"",
        is_default: false,
        shown: |config| path(config.anchor_dir.as_deref()),
    },
    Setting {
        name: "gateway.listen",
        applies: Applies::AfterRestart,
        meaning: "Where tools reach the S3 gateway, one address or a list; tools are given the first.\nhttps://ADDRESS:PORT for TLS. Port 0: one that the system picks once.\nDefault: 127.0.0.1 with the first free port from 8642 on, which is kept.",
        example: "[\"127.0.0.1:8642\", \"https://172.17.0.1:8643\"]",
        is_default: false,
        shown: |config| list(config.listeners()),
    },
    Setting {
        name: "gateway.tls_certificate",
        applies: Applies::AfterRestart,
        meaning: "Certificate chain (PEM) for https addresses; the file is read again when it changes.",
        example: "\"/etc/bascule/gateway.pem\"",
        is_default: false,
        shown: |config| path(config.tls.as_ref().map(|tls| &*tls.certificate)),
    },
    Setting {
        name: "gateway.tls_key",
        applies: Applies::AfterRestart,
        meaning: "Private key (PEM) of that certificate, mode 0600.",
        example: "\"/etc/bascule/gateway.key\"",
        is_default: false,
        shown: |config| path(config.tls.as_ref().map(|tls| &*tls.key)),
    },
    Setting {
        name: "gateway.allow_plain_http_beyond_loopback",
        applies: Applies::AfterRestart,
        meaning: "Allow addresses beyond this machine without TLS: everybody on the way can read what passes.",
        example: "false",
        is_default: true,
        shown: |config| config.allow_plain_http.to_string(),
    },
    Setting {
        name: "gateway.hosts",
        applies: Applies::AfterRestart,
        meaning: "Further names by which tools may call the gateway.",
        example: "[\"host.docker.internal\"]",
        is_default: false,
        shown: |config| list(&config.hosts),
    },
    Setting {
        name: "gateway.host_suffix",
        applies: Applies::AfterRestart,
        meaning: "Take BUCKET.SUFFIX as a bucket's host, for tools that can't do path style.",
        example: "\"s3.bascule.test\"",
        is_default: false,
        shown: |config| config.host_suffix.as_ref().map(quoted).unwrap_or_default(),
    },
    Setting {
        name: "gateway.trusted_proxies",
        applies: Applies::AfterRestart,
        meaning: "Reverse proxies whose word on their clients' addresses (X-Forwarded-For) is believed.",
        example: "[\"127.0.0.1/32\"]",
        is_default: false,
        shown: |config| list(&config.trusted_proxies),
    },
    Setting {
        name: "gateway.max_connections",
        applies: Applies::AfterRestart,
        meaning: "Client connections at the same time, 1 to 65536.",
        example: "1024",
        is_default: true,
        shown: |config| config.max_connections.to_string(),
    },
    Setting {
        name: "gateway.header_timeout_seconds",
        applies: Applies::AfterRestart,
        meaning: "How long a client may take to send a request's head, 1 to 300.",
        example: "30",
        is_default: true,
        shown: |config| config.header_timeout.as_secs().to_string(),
    },
    Setting {
        name: "gateway.drain_seconds",
        applies: Applies::AtOnce,
        meaning: "How long a stop and a deletion wait for open exchanges with a provider, 1 to 300.",
        example: "10",
        is_default: true,
        shown: |config| config.drain_limit.as_secs().to_string(),
    },
    Setting {
        name: "usage.enabled",
        applies: Applies::AfterRestart,
        meaning: "Record who uses which key. Without it nobody can tell who would miss a key.",
        example: "true",
        is_default: true,
        shown: |config| config.usage_keep.is_some().to_string(),
    },
    Setting {
        name: "usage.keep",
        applies: Applies::AfterRestart,
        meaning: "How long uses are kept: 400d, 52w or 1y, ten years at most.",
        example: "\"400d\"",
        is_default: true,
        shown: |config| {
            let days = config.usage_keep.map(|keep| keep.as_secs() / DAY);
            days.map(|days| quoted(&format!("{days}d")))
                .unwrap_or_default()
        },
    },
    Setting {
        name: "watch.probe",
        applies: Applies::AtOnce,
        meaning: "\"daily\": ask each server once a day about the keys in this machine's files, one signed,\nharmless request each, as `bascule check` does. \"off\": never.",
        example: "\"off\"",
        is_default: true,
        shown: |config| quoted(if config.probe { "daily" } else { "off" }),
    },
    Setting {
        name: "watch.sweep",
        applies: Applies::AtOnce,
        meaning: "\"daily\": search whole folders for ids of dead keys after a key died, and once a day as\nlong as one is dead. \"off\": only with `bascule findings --sweep`.",
        example: "\"daily\"",
        is_default: true,
        shown: |config| quoted(config.sweeps.schedule.as_str()),
    },
    Setting {
        name: "watch.sweep_roots",
        applies: Applies::AtOnce,
        meaning: "What is searched. Default: the home folder (as root all homes), /etc, /opt and /srv.",
        example: "[\"/home\", \"/etc\"]",
        is_default: false,
        shown: |config| list(config.sweeps.roots.iter().map(|root| root.display())),
    },
    Setting {
        name: "alerts.desktop",
        applies: Applies::AtOnce,
        meaning: "Notifications on the desktop. Default: where there is one.",
        example: "true",
        is_default: false,
        shown: |config| {
            let desktop = config.alerts.desktop;
            desktop.map(|on| on.to_string()).unwrap_or_default()
        },
    },
    Setting {
        name: "alerts.command",
        applies: Applies::AtOnce,
        meaning: "A program that is run for each alert, without a shell; it gets JSON on stdin.",
        example: "[\"/usr/local/bin/tell-me\", \"bascule\"]",
        is_default: false,
        // Arguments may be anything, so the program alone is shown; a change is told all the same.
        shown: |config| {
            let words = config.alerts.command.as_deref().unwrap_or_default();
            match words {
                [] => String::new(),
                [program] => list([program]),
                [program, more @ ..] => {
                    format!("[{}, … {} more]", quoted(program), more.len())
                }
            }
        },
    },
    Setting {
        name: "alerts.webhook.url",
        applies: Applies::AtOnce,
        meaning: "A server that is told of findings.",
        example: "\"https://alerts.example.org/bascule\"",
        is_default: false,
        // Without its path, which may be a secret.
        shown: |config| {
            let webhook = config.alerts.webhook.as_ref();
            webhook
                .map(|webhook| quoted(&webhook.url))
                .unwrap_or_default()
        },
    },
    Setting {
        name: "alerts.webhook.secret_file",
        applies: Applies::AtOnce,
        meaning: "The file, mode 0600, with the secret that signs what is sent (ntfy: the access token).",
        example: "\"/etc/bascule/webhook.secret\"",
        is_default: false,
        shown: |config| {
            let webhook = config.alerts.webhook.as_ref();
            path(webhook.and_then(|webhook| webhook.secret_file.as_deref()))
        },
    },
    Setting {
        name: "alerts.webhook.preset",
        applies: Applies::AtOnce,
        meaning: "What the server expects: \"signed\" (JSON with a signature), \"ntfy\" or \"healthchecks\".",
        example: "\"signed\"",
        is_default: false,
        shown: |config| {
            let webhook = config.alerts.webhook.as_ref();
            webhook
                .map(|webhook| quoted(webhook.preset.as_str()))
                .unwrap_or_default()
        },
    },
    Setting {
        name: "alerts.webhook.allow_http",
        applies: Applies::AtOnce,
        meaning: "Allow an address without TLS beyond this machine.",
        example: "false",
        is_default: false,
        shown: |config| {
            let webhook = config.alerts.webhook.as_ref();
            webhook
                .map(|webhook| webhook.allow_http.to_string())
                .unwrap_or_default()
        },
    },
    Setting {
        name: "access.operators",
        applies: Applies::AfterRestart,
        meaning: "A group whose members may use the control socket as its owner does; each change is in the\naudit with its user. runtime_dir must be where the group can reach it. Where systemd made the\nsocket, it is told by: sudo bascule service install --system. Default: nobody.",
        example: "\"group:storage\"",
        is_default: false,
        shown: |config| {
            let group = config.access.operators.as_ref();
            group
                .map(|group| quoted(&format!("group:{group}")))
                .unwrap_or_default()
        },
    },
    Setting {
        name: "access.allow_uid",
        applies: Applies::AfterRestart,
        meaning: "Users of this machine who may connect to the gateway, by number; the system is asked at\neach connection, and whose is unknown is closed. Default: every user, as loopback is.",
        example: "[1000, 1001]",
        is_default: false,
        shown: |config| {
            let uids = config.access.allow_uid.as_ref();
            uids.map(|uids| format!("{uids:?}")).unwrap_or_default()
        },
    },
    Setting {
        name: "metrics.listen",
        applies: Applies::AfterRestart,
        meaning: "Where Prometheus may read metrics at /metrics: \"unix:/PATH\" (mode 0600) or a loopback\naddress. They name connections, never keys, buckets or objects. Default: nowhere.",
        example: "\"127.0.0.1:9642\"",
        is_default: false,
        shown: |config| config.metrics.as_ref().map(quoted).unwrap_or_default(),
    },
    Setting {
        name: "log.level",
        applies: Applies::AtOnce,
        meaning: "error, warn, info, debug or trace. No level shows a secret.",
        example: "\"info\"",
        is_default: true,
        shown: |config| quoted(&config.log_level.as_str().to_ascii_lowercase()),
    },
    Setting {
        name: "log.format",
        applies: Applies::AfterRestart,
        meaning: "\"auto\" (for people on a terminal, journald under systemd, JSON otherwise), \"human\",\n\"json\" or \"journald\".",
        example: "\"auto\"",
        is_default: true,
        shown: |config| {
            quoted(match config.log_format {
                LogFormat::Auto => "auto",
                LogFormat::Human => "human",
                LogFormat::Json => "json",
                LogFormat::Journald => "journald",
            })
        },
    },
    Setting {
        name: "log.access",
        applies: Applies::AtOnce,
        meaning: "One line for each request at the gateway, without its query string.",
        example: "false",
        is_default: true,
        shown: |config| config.log_access.to_string(),
    },
];

/// Texts as TOML takes them.
fn quoted<T: ToString + ?Sized>(text: &T) -> String {
    // JSON escapes nothing that TOML does not.
    serde_json::Value::String(text.to_string()).to_string()
}

fn path(path: Option<&Path>) -> String {
    path.map(|path| quoted(&path.display())).unwrap_or_default()
}

fn list<T: ToString>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<_> = all.into_iter().map(|item| quoted(&item)).collect();
    match all.is_empty() {
        true => String::new(),
        false => format!("[{}]", all.join(", ")),
    }
}

/// The names that may stand in a table (empty: outside of all), tables below it included.
pub(super) fn known(table: &str) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = Vec::new();
    for setting in SETTINGS {
        let rest = match table {
            "" => Some(setting.name),
            _ => setting
                .name
                .strip_prefix(table)
                .and_then(|rest| rest.strip_prefix('.')),
        };
        let Some(name) = rest.map(|rest| rest.split('.').next().unwrap_or(rest)) else {
            continue;
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// Of what may stand there, that which was probably meant.
pub(super) fn nearest(table: &str, written: &str) -> Option<&'static str> {
    let near = |name: &&str| strsim::jaro_winkler(name, written);
    known(table)
        .into_iter()
        .filter(|name| near(name) > 0.8)
        .max_by(|a, b| near(a).total_cmp(&near(b)))
}

/// In which full name a setting stands that was written in the wrong table.
pub(super) fn elsewhere(written: &str) -> Option<&'static str> {
    let mut fits = SETTINGS
        .iter()
        .filter(|setting| setting.name.rsplit('.').next() == Some(written));
    match (fits.next(), fits.next()) {
        (Some(only), None) => Some(only.name),
        _ => None,
    }
}

/// The settings whose values differ, in the order of the file.
pub(crate) fn differences<'a>(
    one: &'a Config,
    other: &'a Config,
) -> impl Iterator<Item = &'static Setting> + use<'a> {
    SETTINGS.iter().filter(|setting| {
        (setting.shown)(one) != (setting.shown)(other)
            // Its arguments are not shown.
            || setting.name == "alerts.command" && one.alerts.command != other.alerts.command
            || setting.name == "alerts.webhook.url"
                && one.alerts.webhook.as_ref().map(|hook| &hook.url)
                    != other.alerts.webhook.as_ref().map(|hook| &hook.url)
    })
}

/// What a valid configuration sets, for whoever checks it: a line for each setting that is not left
/// to its default, in TOML with full names.
pub(crate) fn told(config: &Config) -> String {
    let mut text = match &config.file {
        Some(file) if file.exists() => format!("# {} is valid\n", file.display()),
        Some(file) => format!(
            "# there is no {}: everything is by default\n",
            file.display()
        ),
        None => "# no file: everything is by default\n".to_owned(),
    };
    for setting in SETTINGS {
        let shown = (setting.shown)(config);
        let is_default = setting.is_default && shown == setting.example;
        if !shown.is_empty() && !is_default {
            let _ = writeln!(text, "{} = {shown}", setting.name);
        }
    }
    text
}

/// The example file: every setting, commented out, with what it means.
pub(crate) fn example() -> String {
    let mut text = String::from(
        "# Settings of basculed: ~/.config/bascule/config.toml, or basculed --config FILE.\n\
         # All are optional. What stands here is the default, or an example where the comment says\n\
         # what the default is. Check a file with: basculed --config FILE check-config\n\
         # After a change: bascule reload, which says what needs a restart. [restart] marks those.\n",
    );
    let mut table = "";
    for setting in SETTINGS {
        let (of, name) = setting.name.rsplit_once('.').unwrap_or(("", setting.name));
        if of != table {
            table = of;
            let _ = write!(text, "\n[{table}]\n");
        }
        text.push('\n');
        for line in setting.meaning.lines() {
            let _ = writeln!(text, "# {line}");
        }
        if setting.applies == Applies::AfterRestart {
            text.push_str("# [restart]\n");
        }
        let _ = writeln!(text, "#{name} = {}", setting.example);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{super::tests::check, *};

    #[test]
    fn the_example_file_is_made_of_this() {
        let kept = include_str!("../../../packaging/config.example.toml");
        assert!(
            kept == example(),
            "write it anew: basculed example-config > packaging/config.example.toml"
        );
    }

    fn uncommented() -> String {
        let example = example();
        let lines = example.lines().map(|line| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        });
        lines.collect()
    }

    #[test]
    fn every_example_is_taken_and_what_it_sets_is_shown() {
        let config = check(&uncommented()).unwrap();
        for setting in SETTINGS {
            let shown = (setting.shown)(&config);
            assert!(!shown.is_empty(), "{} is not shown", setting.name);
            // Addresses are shown with their schemes; a path or an argument may be a secret.
            // The state folder is what these tests say.
            let differs = ["gateway.listen", "state_dir"].contains(&setting.name);
            if !shown.contains('…') && !differs {
                assert_eq!(shown, setting.example, "{}", setting.name);
            }
        }
        // As it stands it changes nothing.
        let untouched = check(&example().replace("#state_dir", "state_dir")).unwrap();
        assert_eq!(untouched.drain_limit, check("").unwrap().drain_limit);
    }

    #[test]
    fn what_is_told_to_apply_at_once_does_and_nothing_else() {
        let other = check(&uncommented()).unwrap();
        let changed = check("").unwrap().with_changes_of(&other);
        for setting in differences(&changed, &other) {
            assert_eq!(setting.applies, Applies::AfterRestart, "{}", setting.name);
        }
        for setting in differences(&changed, &check("").unwrap()) {
            assert_eq!(setting.applies, Applies::AtOnce, "{}", setting.name);
        }
    }

    #[test]
    fn the_defaults_that_are_told_are_the_defaults() {
        let config = check("").unwrap();
        for setting in SETTINGS.iter().filter(|setting| setting.is_default) {
            assert_eq!(
                (setting.shown)(&config),
                setting.example,
                "{}",
                setting.name
            );
        }
    }

    #[test]
    fn a_setting_that_does_not_exist_is_refused_with_the_one_that_was_meant() {
        for (text, said) in [
            ("[gateway]\nlistn = \"127.0.0.1:1\"", "did you mean listen?"),
            ("[log]\nlevl = \"debug\"", "did you mean level?"),
            (
                "[gatway]\nlisten = \"127.0.0.1:1\"",
                "did you mean gateway?",
            ),
            ("drain_seconds = 3", "it belongs to [gateway]"),
            (
                "[alerts.webhook]\nsecret = \"/x\"",
                "did you mean secret_file?",
            ),
            ("[watch]\ncolour = 1", "known are probe, sweep, sweep_roots"),
        ] {
            let problems = check(text).unwrap_err().join("\n");
            assert!(problems.contains("unknown setting"), "{problems}");
            assert!(problems.contains(said), "{text}: {problems}");
        }
    }

    #[test]
    fn every_setting_is_one_that_a_file_may_set_and_the_other_way_round() {
        // What the parsers take and this does not name would be in none of the lists.
        for setting in SETTINGS {
            let (table, name) = setting.name.rsplit_once('.').unwrap_or(("", setting.name));
            let head = match table {
                "" => String::new(),
                _ => format!("[{table}]\n"),
            };
            let problems = check(&format!("{head}{name} = {{}}\n"))
                .unwrap_err()
                .join("\n");
            assert!(
                !problems.contains("unknown"),
                "{}: {problems}",
                setting.name
            );
        }
        let source = [
            include_str!("../config.rs"),
            include_str!("alerts.rs"),
            include_str!("watch.rs"),
            include_str!("access.rs"),
            include_str!("metrics.rs"),
        ];
        let arms = source
            .iter()
            .flat_map(|text| {
                text.split("#[cfg(test)]")
                    .next()
                    .unwrap_or_default()
                    .lines()
            })
            .filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => "))
            .filter(|(_, rest)| {
                !rest.starts_with("Preset::")
                    && !rest.starts_with("LogFormat::")
                    && !rest.starts_with("Ok(")
            });
        let mut seen = 0;
        for (name, _) in arms {
            seen += 1;
            let is_known = SETTINGS
                .iter()
                .any(|setting| setting.name.split('.').any(|part| part == name));
            assert!(is_known, "{name} is read and not in this table");
        }
        assert!(seen >= SETTINGS.len(), "{seen}");
    }
}
