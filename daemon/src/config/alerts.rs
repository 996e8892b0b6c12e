//! `[alerts]`: who is told of findings.

use std::path::PathBuf;

use bascule_adapters::WebAddress;

use super::{DeValue, File, Value};

/// More arguments than a command that a person wrote has.
const MOST_WORDS: usize = 64;

/// How people are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AlertSettings {
    /// Absent: where it makes sense.
    pub desktop: Option<bool>,
    /// Program and arguments; never empty.
    pub command: Option<Vec<String>>,
    pub webhook: Option<WebhookSettings>,
}

/// A server that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WebhookSettings {
    pub url: WebAddress,
    /// Set for [`Preset::Signed`].
    pub secret_file: Option<PathBuf>,
    pub preset: Preset,
    pub allow_http: bool,
}

/// What the server expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Preset {
    /// JSON with a signature.
    #[default]
    Signed,
    Ntfy,
    Healthchecks,
}

impl Preset {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Ntfy => "ntfy",
            Self::Healthchecks => "healthchecks",
        }
    }
}

/// Reads the table.
pub(super) fn read(file: &mut File<'_>, value: &Value<'_>) -> AlertSettings {
    let mut settings = AlertSettings::default();
    for (key, value) in file.table("alerts", value) {
        match key.get_ref().as_ref() {
            "desktop" => settings.desktop = file.switch(value),
            "command" => settings.command = command(file, value),
            "webhook" => settings.webhook = webhook(file, value),
            other => file.unknown(key.span().start, "alerts", other),
        }
    }
    settings
}

fn command(file: &mut File<'_>, value: &Value<'_>) -> Option<Vec<String>> {
    let at = value.span().start;
    if !matches!(value.get_ref(), DeValue::Array(_)) {
        let how = "must be a list: [\"/path/to/program\", \"argument\", …]; there is no shell";
        file.report(at, how.to_owned());
        return None;
    }
    let words = file.each(value, |word| match word.contains('\0') {
        true => Err("no argument can hold a zero character".to_owned()),
        false => Ok(word.to_owned()),
    });
    let wrong = match words.first() {
        None => "must name a program".to_owned(),
        Some(program) if program.is_empty() => "must name a program".to_owned(),
        // The daemon's own folder is nobody's business.
        Some(program) if program.contains('/') && !program.starts_with('/') => {
            "the program must be an absolute path, or a name that is found by PATH".to_owned()
        }
        Some(_) if words.len() > MOST_WORDS => format!("has more than {MOST_WORDS} words"),
        Some(_) => return Some(words),
    };
    file.report(at, wrong);
    None
}

fn webhook(file: &mut File<'_>, value: &Value<'_>) -> Option<WebhookSettings> {
    let mut url = None;
    let mut secret_file = None;
    let mut preset = Preset::default();
    let mut allow_http = false;
    for (key, value) in file.table("alerts.webhook", value) {
        let at = value.span().start;
        match key.get_ref().as_ref() {
            "url" => {
                let address = file.parse(value, |text| {
                    let address = text.parse::<WebAddress>();
                    address.map_err(|error| error.to_string())
                });
                url = Some((at, address));
            }
            "secret_file" => secret_file = Some((at, file.path(value))),
            "preset" => preset = file.parse(value, parse_preset).unwrap_or_default(),
            "allow_http" => allow_http = file.switch(value).unwrap_or_default(),
            other => file.unknown(key.span().start, "alerts.webhook", other),
        }
    }
    let at = value.span().start;
    if url.is_none() && matches!(value.get_ref(), DeValue::Table(table) if table.is_empty()) {
        return None;
    }
    let Some((url_at, url)) = url else {
        file.report(at, "[alerts.webhook] needs a url".to_owned());
        return None;
    };
    let url = url?;
    if url.is_plain_beyond_loopback() && !allow_http {
        file.report(url_at, format!("{url} is not encrypted, so whoever is on the way reads which keys are dead and where they stand; use https://, or accept that with allow_http = true"));
    }
    match (preset, &secret_file) {
        (Preset::Signed, None) => {
            file.report(at, "[alerts.webhook] needs a secret_file: what it sends is signed with it (a preset, \"ntfy\" or \"healthchecks\", needs none)".to_owned());
        }
        (Preset::Healthchecks, Some((at, _))) => {
            file.report(
                *at,
                "healthchecks takes no secret; its address is one".to_owned(),
            );
        }
        _ => {}
    }
    Some(WebhookSettings {
        url,
        secret_file: secret_file.and_then(|(_, file)| file),
        preset,
        allow_http,
    })
}

fn parse_preset(text: &str) -> Result<Preset, String> {
    Ok(match text {
        "signed" => Preset::Signed,
        "ntfy" => Preset::Ntfy,
        "healthchecks" => Preset::Healthchecks,
        _ => {
            return Err(format!(
                "unknown preset {text:?}; known are signed, ntfy, healthchecks"
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;

    #[test]
    fn a_bad_setting_is_named_with_its_line() {
        for (settings, line, said) in [
            ("desktop = 1", 2, "true or false"),
            ("command = \"notify-send x\"", 2, "no shell"),
            ("command = []", 2, "name a program"),
            ("command = [\"bin/x\"]", 2, "absolute"),
            ("command = [\"x\", 3]", 2, "text in quotes"),
            ("sound = true", 2, "unknown setting"),
            ("[alerts.webhook]\nallow_http = true", 2, "needs a url"),
            (
                "[alerts.webhook]\nurl = \"https://a.b/x\"",
                2,
                "needs a secret_file",
            ),
            (
                "[alerts.webhook]\nurl = \"ftp://a.b/x\"\nsecret_file = \"/s\"",
                3,
                "https://",
            ),
            (
                "[alerts.webhook]\nurl = \"http://10.0.0.1/x\"\nsecret_file = \"/s\"",
                3,
                "allow_http",
            ),
            (
                "[alerts.webhook]\nurl = \"https://a.b/\"\nsecret_file = \"s\"",
                4,
                "absolute",
            ),
            (
                "[alerts.webhook]\nurl = \"https://a.b/\"\npreset = \"slack\"\nsecret_file = \"/s\"",
                4,
                "unknown preset",
            ),
            (
                "[alerts.webhook]\nurl = \"https://a.b/\"\npreset = \"healthchecks\"\nsecret_file = \"/s\"",
                5,
                "no secret",
            ),
        ] {
            let problems = check(&format!("[alerts]\n{settings}\n")).unwrap_err();
            let place = format!("config.toml:{line}: ");
            assert!(
                problems
                    .iter()
                    .any(|p| p.starts_with(&place) && p.contains(said)),
                "{settings}: {problems:?}"
            );
        }
    }

    #[test]
    fn an_address_that_may_hold_a_secret_is_not_repeated() {
        for url in [
            "http://10.0.0.1/hunter2",
            "https://a.b/hunter2 x",
            "hunter2://a",
        ] {
            let text = format!("[alerts.webhook]\nurl = \"{url}\"\nsecret_file = \"/s\"\n");
            let problems = check(&text).unwrap_err().join("\n");
            assert!(!problems.contains("hunter2"), "{problems}");
        }
    }

    #[test]
    fn good_settings_are_taken() {
        let text = "[alerts]\ndesktop = false\ncommand = [\"logger\", \"-t\", \"x\"]\n\
                    [alerts.webhook]\nurl = \"http://127.0.0.1:9/x\"\nsecret_file = \"/s\"\n";
        let alerts = check(text).unwrap().alerts;
        assert_eq!(alerts.desktop, Some(false));
        assert_eq!(alerts.command.unwrap().len(), 3);
        assert!(alerts.webhook.unwrap().secret_file.is_some());
        assert!(check("").unwrap().alerts.webhook.is_none());
        let plain =
            "[alerts.webhook]\nurl = \"http://nas/t\"\npreset = \"ntfy\"\nallow_http = true\n";
        assert!(check(plain).is_ok());
    }
}
