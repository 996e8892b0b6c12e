//! One view of every syntax's settings, with the place of everything.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{CannotRevise, Scope, Syntax, compose, environment, ini, shell, structured, unit};
use crate::aws;

/// What a setting's value is.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// As the tool takes it.
    Literal(Zeroizing<String>),
    /// It is made of variables; as it is written.
    Computed(Zeroizing<String>),
    /// It goes on over lines; as much of it as is known.
    Folded(Zeroizing<String>),
}

/// A setting and its place.
#[derive(Clone)]
pub(super) struct Setting {
    /// The section that it is in, as the syntax tells sections apart; empty where there are none.
    pub(super) section: String,
    /// As the tool compares names.
    pub(super) name: String,
    pub(super) value: Value,
    /// The name's bytes, without quotes.
    pub(super) name_span: Range<usize>,
    /// The value's bytes, without quotes.
    pub(super) span: Range<usize>,
    /// The value with its quotes.
    pub(super) raw: Range<usize>,
    /// Name and value, with all quotes: what goes where the line holds more.
    pub(super) token: Range<usize>,
    /// The quotes that the value's bytes stand in.
    pub(super) quote: Option<&'static str>,
    /// Whether quotes go around name and value together.
    pub(super) whole: bool,
    /// The whole logical line, its line break included.
    pub(super) line: Range<usize>,
    pub(super) line_number: u32,
    /// Whether the line holds nothing else.
    pub(super) alone: bool,
    /// Whether it is taken at all; a later line may have reset it.
    pub(super) counts: bool,
}

impl Setting {
    /// A setting whose value may be in quotes of its own, with its line to itself.
    pub(super) fn new(
        lines: &Lines<'_>,
        (section, name): (&str, &str),
        value: Value,
        name_span: Range<usize>,
        raw: Range<usize>,
        quote: Option<&'static str>,
    ) -> Self {
        let mark = quote.map_or(0, str::len);
        let token = name_span.start..raw.end;
        Self {
            section: section.to_owned(),
            name: name.to_owned(),
            value,
            span: raw.start + mark..raw.end - mark,
            line_number: lines.number(name_span.start),
            line: lines.around(&token),
            name_span,
            raw,
            token,
            quote,
            whole: false,
            alone: true,
            counts: true,
        }
    }

    pub(super) fn literal(&self) -> Result<&Zeroizing<String>, CannotRevise> {
        let (name, line) = (self.name.clone(), self.line_number);
        match &self.value {
            Value::Literal(value) => Ok(value),
            Value::Computed(_) => Err(CannotRevise::Computed { name, line }),
            Value::Folded(_) => Err(CannotRevise::Folded { name, line }),
        }
    }

    pub(super) fn is_blank(&self) -> bool {
        matches!(&self.value, Value::Literal(value) if value.is_empty())
    }

    pub(super) fn same(&self, other: &Self) -> bool {
        (&self.section, &self.name, &self.value, self.counts)
            == (&other.section, &other.name, &other.value, other.counts)
    }
}

/// A setting that a section has from elsewhere in the file.
#[derive(PartialEq, Eq)]
pub(super) struct Inherited {
    pub(super) section: String,
    pub(super) name: String,
    pub(super) value: Zeroizing<String>,
}

/// All that a text says.
pub(super) struct Reading {
    pub(super) syntax: Syntax,
    /// In the order of the file.
    pub(super) settings: Vec<Setting>,
    pub(super) inherited: Vec<Inherited>,
    /// Whatever else has to stay as it is.
    pub(super) rest: Vec<Zeroizing<String>>,
}

impl Reading {
    pub(super) fn of(text: &str, syntax: Syntax) -> Result<Self, CannotRevise> {
        let mut reading = Self {
            syntax,
            settings: Vec::new(),
            inherited: Vec::new(),
            rest: Vec::new(),
        };
        match syntax {
            Syntax::Rclone => ini::rclone(text, &mut reading)?,
            Syntax::AwsCredentials | Syntax::AwsConfig => ini::aws(text, &mut reading)?,
            Syntax::S3cfg => ini::s3cfg(text, &mut reading)?,
            Syntax::Mc => structured::mc(text, &mut reading)?,
            Syntax::EnvironmentFile(dialect) => environment::file(text, dialect, &mut reading),
            Syntax::Shell => shell::read(text, &mut reading)?,
            Syntax::Unit => unit::read(text, &mut reading),
            Syntax::Crontab => environment::crontab(text, &mut reading),
            Syntax::Compose => compose::read(text, &mut reading)?,
            Syntax::Structured(structure) => structured::read(text, structure, &mut reading)?,
            Syntax::S3fsPasswords => structured::s3fs(text, &mut reading)?,
        }
        Ok(reading)
    }

    /// The setting that counts.
    pub(super) fn find(
        &self,
        scope: &Scope<'_>,
        name: &str,
    ) -> Result<Option<usize>, CannotRevise> {
        let mut found = self.all(scope, name);
        let last = found.next_back();
        let several = found.next().is_some();
        let last_counts = matches!(
            self.syntax,
            Syntax::Rclone
                | Syntax::S3cfg
                | Syntax::Mc
                | Syntax::EnvironmentFile(_)
                | Syntax::Unit
                | Syntax::Compose
        );
        match last {
            Some(at) if several && !last_counts => Err(self.repeated(at)),
            last => Ok(last),
        }
    }

    /// Fails if a name stands there more than once.
    pub(super) fn only(&self, scope: &Scope<'_>, name: &str) -> Result<(), CannotRevise> {
        match self.all(scope, name).nth(1) {
            Some(at) => Err(self.repeated(at)),
            None => Ok(()),
        }
    }

    fn repeated(&self, at: usize) -> CannotRevise {
        CannotRevise::Repeated {
            name: self.settings[at].name.clone(),
            line: self.settings[at].line_number,
        }
    }

    fn all(&self, scope: &Scope<'_>, name: &str) -> impl DoubleEndedIterator<Item = usize> {
        let path = structured::path(scope, name);
        let same = move |setting: &Setting| {
            setting.counts
                && match self.syntax {
                    Syntax::Structured(_) => setting.section == path,
                    _ => {
                        in_scope(self.syntax, scope, &setting.section)
                            && same_name(self.syntax, &setting.name, name)
                    }
                }
        };
        let places = self.settings.iter().enumerate();
        places.filter_map(move |(at, setting)| same(setting).then_some(at))
    }

    /// The first setting of a scope.
    pub(super) fn first(&self, scope: &Scope<'_>) -> Option<usize> {
        self.settings
            .iter()
            .position(|setting| setting.counts && in_scope(self.syntax, scope, &setting.section))
    }

    pub(super) fn inherited(&self, scope: &Scope<'_>, name: &str) -> Option<Zeroizing<String>> {
        let found = self.inherited.iter().find(|inherited| {
            in_scope(self.syntax, scope, &inherited.section)
                && same_name(self.syntax, &inherited.name, name)
        });
        found.map(|inherited| inherited.value.clone())
    }
}

pub(super) fn in_scope(syntax: Syntax, scope: &Scope<'_>, section: &str) -> bool {
    match (scope, syntax) {
        (Scope::Whole, _) => section.is_empty(),
        (Scope::Section(wanted), Syntax::AwsConfig) => {
            aws::is_profile(section, wanted)
                || (wanted.starts_with("services ") && section == *wanted)
        }
        (Scope::Section(wanted), _) => section == *wanted,
        (Scope::Path(_), _) => false,
    }
}

pub(super) fn same_name(syntax: Syntax, name: &str, wanted: &str) -> bool {
    match syntax {
        Syntax::AwsCredentials | Syntax::AwsConfig => name.eq_ignore_ascii_case(wanted),
        _ => name == wanted,
    }
}

/// The lines of a text, for places within it.
pub(super) struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        // A byte order mark belongs to no line.
        let mark = text.len() - text.trim_start_matches('\u{feff}').len();
        let starts = std::iter::once(mark).chain(breaks.map(|(at, _)| at + 1));
        Self {
            text,
            starts: starts.collect(),
        }
    }

    /// From the beginning of the line of one byte to the end of the line of another, its break included.
    pub(super) fn around(&self, span: &Range<usize>) -> Range<usize> {
        let line = self.starts.partition_point(|start| *start <= span.start);
        let start = self.starts[line.saturating_sub(1)].min(span.start);
        let end = self.text[span.end..]
            .find('\n')
            .map_or(self.text.len(), |at| span.end + at + 1);
        start..end
    }

    /// A line by its number, counted from 1, with its break.
    pub(super) fn line(&self, number: u32) -> Range<usize> {
        let index = number.saturating_sub(1) as usize;
        let at = |index: usize| self.starts.get(index).copied().unwrap_or(self.text.len());
        at(index)..at(index + 1)
    }

    /// The number of a byte's line, counted from 1.
    pub(super) fn number(&self, at: usize) -> u32 {
        let line = self.starts.partition_point(|start| *start <= at).max(1);
        u32::try_from(line).unwrap_or(u32::MAX)
    }
}
