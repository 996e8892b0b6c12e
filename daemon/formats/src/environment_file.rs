//! Files of `NAME=value` lines that set variables for a job, in three dialects: no two programs agree
//! on quotes, comments and `$`.

mod dotenv;
mod systemd;
#[cfg(test)]
mod tests;

use std::{fmt, ops::Range};

use zeroize::Zeroizing;

use crate::hidden::without_value;

/// More variables than a file of a person has.
const MOST: usize = 10_000;

/// Whose rules apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// `EnvironmentFile=`: quotes and backslashes, no `$`, no `export`.
    Systemd,
    /// `docker run --env-file`: everything behind the first `=`, quotes too.
    Docker,
    /// `env_file:` and `.env` of Compose, and dotenv: quotes, `$X`, `export`, comments behind values.
    Compose,
}

/// A variable that a file sets.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// Its value as the program takes it.
    pub value: Zeroizing<String>,
    /// Where the name begins.
    pub offset: usize,
    /// Where the value stands as it is written, quotes included and blanks around it not.
    pub span: Range<usize>,
    /// The line that the name stands on, counted from 1.
    pub line: u32,
}

/// Values may be secrets.
impl fmt::Debug for Assignment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        without_value(f, "Assignment", &self.name, self.line)
    }
}

/// The variables that a file sets, in its order. What the dialect's program ignores or refuses is
/// left out. `outside` is what `$X` means besides the file's own variables.
#[must_use]
pub fn parse<'v>(
    text: &str,
    dialect: Dialect,
    outside: impl Fn(&str) -> Option<&'v str>,
) -> Vec<Assignment> {
    match dialect {
        Dialect::Systemd => systemd::parse(text),
        Dialect::Docker => docker(text),
        Dialect::Compose => dotenv::parse(text, &|name| outside(name).map(ToOwned::to_owned)),
    }
}

fn docker(text: &str) -> Vec<Assignment> {
    let mut assignments = Vec::new();
    let mut start = 0;
    for (raw, line) in text.split_inclusive('\n').zip(1_u32..) {
        let content = raw
            .trim_end_matches(['\n', '\r'])
            .trim_start_matches('\u{feff}');
        let offset = start + raw.find(content).unwrap_or(0);
        start += raw.len();
        let own = content.trim_start();
        let Some((name, value)) = own.split_once('=').filter(|_| !own.starts_with('#')) else {
            continue;
        };
        if !name.is_empty() && !name.contains(char::is_whitespace) && assignments.len() < MOST {
            assignments.push(Assignment {
                name: name.to_owned(),
                value: Zeroizing::new(value.to_owned()),
                offset: offset + content.len() - own.len(),
                span: offset + content.len() - value.len()..offset + content.len(),
                line,
            });
        }
    }
    assignments
}
