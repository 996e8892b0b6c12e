//! Crontabs: variables, and jobs with their times, as cron's own readers take the lines.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, ops::Range};

use zeroize::Zeroizing;

use crate::{
    calendar::{Calendar, NoCalendar},
    hidden::without_value,
};

/// Whose lines these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// A user's own.
    User,
    /// `/etc/crontab` and its like, with a user in each line.
    System,
    /// `/etc/anacrontab`: period, delay, name and command.
    Anacron,
}

/// A line of a crontab.
#[derive(Debug, Clone, PartialEq)]
pub enum Line<'a> {
    /// `NAME=value`, for the jobs that follow. Nothing in the value is replaced.
    Variable(Variable),
    /// A job.
    Job(Job<'a>),
    /// Cron ignores it, or refuses the whole file for it.
    Broken {
        /// Counted from 1.
        line: u32,
    },
}

/// A variable for the jobs that follow.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Without quotes.
    pub name: String,
    /// Without quotes.
    pub value: Zeroizing<String>,
    /// Counted from 1.
    pub line: u32,
}

/// Values may be secrets.
impl fmt::Debug for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        without_value(f, "Variable", &self.name, self.line)
    }
}

/// A job.
#[derive(Clone, PartialEq)]
pub struct Job<'a> {
    /// When it runs.
    pub when: When,
    /// Whom it runs as, in the system's crontabs.
    pub user: Option<&'a str>,
    /// What the shell gets: up to the first bare `%`, behind which its input stands.
    pub command: Cow<'a, str>,
    /// Where the command stands.
    pub span: Range<usize>,
    /// Counted from 1.
    pub line: u32,
}

/// Commands may hold secrets.
impl fmt::Debug for Job<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("when", &self.when)
            .field("user", &self.user)
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// When a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// By the calendar.
    Calendar(Calendar),
    /// `@reboot`.
    Boot,
    /// Every so many days since it last ran (anacron).
    Days(u32),
    /// Every month since it last ran (anacron).
    Monthly,
    /// By chance, or in a way that is not known.
    Unknown,
}

/// Reads a crontab.
#[must_use]
pub fn parse(text: &str, dialect: Dialect) -> Vec<Line<'_>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for (raw, number) in text.split_inclusive('\n').zip(1_u32..) {
        let whole = raw.trim_end_matches(['\n', '\r']);
        let own = whole.trim_start_matches([' ', '\t']);
        let at = start + whole.len() - own.len();
        start += raw.len();
        if own.is_empty() || own.starts_with('#') {
            continue;
        }
        let parsed = variable(own, number)
            .map(Line::Variable)
            .or_else(|| job(own, at, number, dialect).map(Line::Job));
        lines.push(parsed.unwrap_or(Line::Broken { line: number }));
    }
    lines
}

fn variable(text: &str, line: u32) -> Option<Variable> {
    let (name, rest) = match text.chars().next()? {
        quote @ ('"' | '\'') => text[1..].split_once(quote)?,
        _ => text.split_at(text.find(|c: char| c == '=' || c.is_whitespace())?),
    };
    let value = rest.trim_start().strip_prefix('=')?.trim();
    let unquoted = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (!name.is_empty() && name.chars().all(fits)).then(|| Variable {
        name: name.to_owned(),
        value: Zeroizing::new(unquoted.unwrap_or(value).to_owned()),
        line,
    })
}

/// Takes the next word and the blanks behind it.
fn word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let blank = [' ', '\t'];
    let end = rest.find(blank)?;
    let (word, after) = rest.split_at(end);
    *rest = after.trim_start_matches(blank);
    (!word.is_empty()).then_some(word)
}

fn job(text: &str, at: usize, line: u32, dialect: Dialect) -> Option<Job<'_>> {
    // A dash keeps some crons from logging.
    let mut rest = text.strip_prefix('-').unwrap_or(text);
    let when = if dialect == Dialect::Anacron {
        let when = period(word(&mut rest)?)?;
        let (_delay, _name) = (word(&mut rest)?, word(&mut rest)?);
        when
    } else if rest.starts_with('@') {
        named(word(&mut rest)?)?
    } else {
        let mut fields = [""; 5];
        for field in &mut fields {
            *field = word(&mut rest)?;
        }
        match Calendar::cron(&fields) {
            Ok(calendar) => When::Calendar(calendar),
            Err(NoCalendar::Random) => When::Unknown,
            Err(NoCalendar::Invalid) => return None,
        }
    };
    let user = match dialect {
        Dialect::System => Some(word(&mut rest)?),
        Dialect::User | Dialect::Anacron => None,
    };
    // FreeBSD and cronie: flags before the command.
    while rest.starts_with("-n ") || rest.starts_with("-q ") {
        word(&mut rest);
    }
    let start = at + text.len() - rest.len();
    let (command, length) = match dialect {
        Dialect::Anacron => (Cow::Borrowed(rest.trim_end()), rest.len()),
        Dialect::User | Dialect::System => until_percent(rest),
    };
    (!command.is_empty()).then_some(Job {
        when,
        user,
        command,
        span: start..start + length,
        line,
    })
}

fn named(word: &str) -> Option<When> {
    let fields = match &*word.to_ascii_lowercase() {
        "@reboot" => return Some(When::Boot),
        "@yearly" | "@annually" => ["0", "0", "1", "1", "*"],
        "@monthly" => ["0", "0", "1", "*", "*"],
        "@weekly" => ["0", "0", "*", "*", "0"],
        "@daily" | "@midnight" => ["0", "0", "*", "*", "*"],
        "@hourly" => ["0", "*", "*", "*", "*"],
        "@every_minute" => ["*", "*", "*", "*", "*"],
        // macOS and FreeBSD: seconds since it last ran.
        other => {
            let seconds = other.strip_prefix('@')?;
            let digits = !seconds.is_empty() && seconds.bytes().all(|b| b.is_ascii_digit());
            return digits.then_some(When::Unknown);
        }
    };
    Calendar::cron(&fields).ok().map(When::Calendar)
}

fn period(word: &str) -> Option<When> {
    match word {
        "@daily" => Some(When::Days(1)),
        "@weekly" => Some(When::Days(7)),
        "@monthly" => Some(When::Monthly),
        days => days.parse().ok().map(When::Days),
    }
}

/// The command up to a bare `%`, with `\%` made to `%`, and how many bytes it takes.
fn until_percent(text: &str) -> (Cow<'_, str>, usize) {
    let mut command = Cow::Borrowed("");
    let mut from = 0;
    for (at, _) in text.match_indices('%') {
        if !text[from..at].ends_with('\\') {
            return (joined(command, text[from..at].trim_end()), at);
        }
        command = joined(command, &text[from..at - 1]);
        command.to_mut().push('%');
        from = at + 1;
    }
    (joined(command, text[from..].trim_end()), text.len())
}

fn joined<'a>(mut command: Cow<'a, str>, more: &'a str) -> Cow<'a, str> {
    if command.is_empty() {
        return Cow::Borrowed(more);
    }
    command.to_mut().push_str(more);
    command
}
