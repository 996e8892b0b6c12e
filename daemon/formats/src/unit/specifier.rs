//! `%i` and its like: what systemd puts into a unit's values before it uses them.

use super::name::{UnitName, unescape};

/// What the specifiers of one unit stand for. What is `None` is not known and stays as written.
#[derive(Debug, Clone, Default)]
pub struct Specifiers {
    /// The unit's whole name.
    pub unit: String,
    /// `%u`: whom the manager of units runs as.
    pub user: Option<String>,
    /// `%U`.
    pub uid: Option<u32>,
    /// `%h`.
    pub home: Option<String>,
    /// `%H`.
    pub host: Option<String>,
    /// `%t`.
    pub runtime: Option<String>,
    /// `%S`.
    pub state: Option<String>,
    /// `%C`.
    pub cache: Option<String>,
    /// `%L`.
    pub logs: Option<String>,
    /// `%E`.
    pub configuration: Option<String>,
    /// `%d`.
    pub credentials: Option<String>,
    /// `%s`.
    pub shell: Option<String>,
}

impl Specifiers {
    /// The text with its specifiers replaced.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            let Some(letter) = after.chars().next() else {
                expanded.push('%');
                rest = "";
                break;
            };
            match self.value(letter) {
                Some(value) => expanded.push_str(&value),
                None => expanded.extend(['%', letter]),
            }
            rest = &after[letter.len_utf8()..];
        }
        expanded.push_str(rest);
        expanded
    }

    fn value(&self, letter: char) -> Option<String> {
        let name = UnitName::parse(&self.unit);
        let instance = || {
            name.and_then(|name| name.instance)
                .filter(|text| !text.is_empty())
        };
        match letter {
            '%' => Some("%".to_owned()),
            'n' => Some(self.unit.clone()),
            'N' => Some(self.unit.rsplit_once('.')?.0.to_owned()),
            'p' => Some(name?.prefix.to_owned()),
            'P' => Some(unescape(name?.prefix)),
            'i' if name?.is_template() => None,
            'I' | 'f' if name?.is_template() => None,
            'i' => Some(instance().unwrap_or_default().to_owned()),
            'I' => Some(unescape(instance().unwrap_or_default())),
            'f' => Some(format!("/{}", unescape(instance().unwrap_or(name?.prefix)))),
            'j' => Some(last_part(name?.prefix).to_owned()),
            'J' => Some(unescape(last_part(name?.prefix))),
            'u' => self.user.clone(),
            'U' => self.uid.map(|uid| uid.to_string()),
            'h' => self.home.clone(),
            'H' => self.host.clone(),
            'l' => self
                .host
                .as_deref()
                .map(|host| host.split('.').next().unwrap_or(host).to_owned()),
            't' => self.runtime.clone(),
            'S' => self.state.clone(),
            'C' => self.cache.clone(),
            'L' => self.logs.clone(),
            'E' => self.configuration.clone(),
            'd' => self.credentials.clone(),
            's' => self.shell.clone(),
            'T' => Some("/tmp".to_owned()),
            'V' => Some("/var/tmp".to_owned()),
            _ => None,
        }
    }
}

fn last_part(prefix: &str) -> &str {
    prefix.rsplit('-').next().unwrap_or(prefix)
}
