//! One view of every syntax's settings, the changes of one of them, and the proof that nothing else
//! changed.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{
    CannotRevise, Scope, Syntax, compose, environment, ini, quoting, shell, structured, unit,
};
use crate::{
    aws,
    edit::Edit,
    ini::{Dialect, Document},
};

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

    fn same(&self, other: &Self) -> bool {
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
    syntax: Syntax,
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

    pub(super) fn inherited(
        &self,
        scope: &Scope<'_>,
        name: &str,
    ) -> Result<Option<Zeroizing<String>>, CannotRevise> {
        let found = self.inherited.iter().find(|inherited| {
            in_scope(self.syntax, scope, &inherited.section)
                && same_name(self.syntax, &inherited.name, name)
        });
        Ok(found.map(|inherited| inherited.value.clone()))
    }
}

fn in_scope(syntax: Syntax, scope: &Scope<'_>, section: &str) -> bool {
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

fn same_name(syntax: Syntax, name: &str, wanted: &str) -> bool {
    match syntax {
        Syntax::AwsCredentials | Syntax::AwsConfig => name.eq_ignore_ascii_case(wanted),
        _ => name == wanted,
    }
}

/// What has to be true of a text after a change.
pub(super) enum Proof<'p> {
    /// The setting at a place of the reading has a new value.
    Set {
        at: usize,
        name: &'p str,
        value: &'p str,
    },
    /// So many settings are new before the one at a place; the last of them is the wanted one.
    Added {
        at: usize,
        number: usize,
        name: &'p str,
        value: &'p str,
    },
    /// These are gone.
    Removed {
        settings: Range<usize>,
        name: &'p str,
    },
}

impl Proof<'_> {
    pub(super) const fn name(&self) -> &str {
        match self {
            Self::Set { name, .. } | Self::Added { name, .. } | Self::Removed { name, .. } => name,
        }
    }

    /// Whether the wanted setting says what it should, whatever became of the others.
    pub(super) fn reads_back(
        &self,
        after: &Reading,
        scope: &Scope<'_>,
        text: &str,
        syntax: Syntax,
    ) -> bool {
        let Ok(found) = after.find(scope, self.name()) else {
            return false;
        };
        let (Self::Set { value, .. } | Self::Added { value, .. }) = self else {
            return found.is_none();
        };
        let Some(setting) = found.map(|at| &after.settings[at]) else {
            return false;
        };
        setting.literal().is_ok_and(|read| read.as_str() == *value)
            && as_go_reads_it(text, syntax, setting, value)
    }

    /// Whether everything else says what it said.
    pub(super) fn holds(&self, before: &Reading, after: &Reading, scope: &Scope<'_>) -> bool {
        let (old, new) = match self {
            Self::Set { at, .. } => (*at..*at + 1, *at..*at + 1),
            Self::Added { at, number, .. } => (*at..*at, *at..*at + *number),
            Self::Removed { settings, .. } => (settings.clone(), settings.start..settings.start),
        };
        let others = |reading: &Reading, without: &Range<usize>| {
            let kept = reading.settings.get(without.end..)?;
            Some((
                reading.settings.get(..without.start)?.to_vec(),
                kept.to_vec(),
            ))
        };
        let (Some(were), Some(are)) = (others(before, &old), others(after, &new)) else {
            return false;
        };
        let same = |were: &[Setting], are: &[Setting]| {
            were.len() == are.len() && were.iter().zip(are).all(|(was, is)| was.same(is))
        };
        let inherited = |reading: &Reading| {
            let of_others = reading.inherited.iter().filter(|inherited| {
                !(in_scope(reading.syntax, scope, &inherited.section)
                    && same_name(reading.syntax, &inherited.name, self.name()))
            });
            of_others
                .map(|i| (i.section.clone(), i.name.clone(), i.value.clone()))
                .collect::<Vec<_>>()
        };
        same(&were.0, &are.0)
            && same(&were.1, &are.1)
            && before.rest == after.rest
            && inherited(before) == inherited(after)
    }
}

/// The AWS files are read by tools in Go too, which take quotes and comments off a value.
fn as_go_reads_it(text: &str, syntax: Syntax, setting: &Setting, value: &str) -> bool {
    if !matches!(syntax, Syntax::AwsCredentials | Syntax::AwsConfig) {
        return true;
    }
    let Ok(document) = Document::parse(text, Dialect::GoSdk) else {
        return false;
    };
    let (outer, inner) = match setting.name.split_once('.') {
        Some((outer, inner)) => (outer, Some(inner)),
        None => (setting.name.as_str(), None),
    };
    let Some(entry) = document.entry(&setting.section, outer) else {
        return false;
    };
    match inner {
        None => entry.value == value,
        Some(inner) => entry
            .nested
            .iter()
            .any(|nested| nested.key.eq_ignore_ascii_case(inner) && nested.value == value),
    }
}

/// The ways of writing a new value in the place of the present one, the least change first.
pub(super) fn forms(text: &str, syntax: Syntax, setting: &Setting, value: &str) -> Vec<Edit> {
    let mut forms = Vec::new();
    if value.contains(char::is_control) {
        return forms;
    }
    let mut form = |span: &Range<usize>, text: Option<Zeroizing<String>>| {
        forms.extend(text.map(|text| Edit {
            span: span.clone(),
            text,
        }));
    };
    let quotes = quoting::of(syntax);
    // A number or a truth stays one, where another could be a text.
    if quoting::is_typed(&text[setting.raw.clone()]) && quoting::is_typed(value) {
        form(&setting.raw, Some(Zeroizing::new(value.to_owned())));
    }
    match setting.quote.and_then(|quote| quotes.find(quote)) {
        Some(quote) => form(&setting.span, quotes.inside(quote, value)),
        None => form(&setting.raw, quotes.bare(value)),
    }
    if setting.whole {
        let name = &text[setting.name_span.clone()];
        let pair = quoting::pair(name, "=", value);
        form(&setting.token, quotes.bare(&pair));
        for quote in quotes.all() {
            form(&setting.token, quotes.within(quote, &pair));
        }
    } else {
        form(&setting.raw, quotes.bare(value));
        for quote in quotes.all() {
            form(&setting.raw, quotes.within(quote, value));
        }
    }
    forms
}

/// The ways of adding a setting.
pub(super) struct Addition {
    /// Before which setting of the reading.
    pub(super) at: usize,
    /// How many settings the reading has more.
    pub(super) number: usize,
    pub(super) forms: Vec<Edit>,
}

/// How a setting is added beside another one. `None` if it can't stand there.
pub(super) fn addition(
    text: &str,
    syntax: Syntax,
    reading: &Reading,
    at: usize,
    name: &str,
    value: &str,
) -> Option<Addition> {
    if value.contains(char::is_control) {
        return Some(Addition {
            at,
            number: 1,
            forms: Vec::new(),
        });
    }
    if matches!(syntax, Syntax::AwsCredentials | Syntax::AwsConfig) {
        return ini::addition(text, reading, at, name, value);
    }
    match syntax {
        Syntax::Structured(_) | Syntax::S3fsPasswords => None,
        Syntax::Mc => structured::member(text, reading, at, name, value),
        Syntax::Shell | Syntax::Compose if !reading.settings[at].alone => None,
        _ => line_before(text, syntax, reading, at, name, value),
    }
}

/// A line like the one of the setting at a place, and before it.
pub(super) fn line_before(
    text: &str,
    syntax: Syntax,
    reading: &Reading,
    at: usize,
    name: &str,
    value: &str,
) -> Option<Addition> {
    let beside = &reading.settings[at];
    let first = reading
        .settings
        .iter()
        .position(|setting| setting.line == beside.line);
    let quotes = quoting::of(syntax);
    let newline = newline(text, &beside.line);
    let mut words = Vec::new();
    let begins = if beside.whole {
        let pair = quoting::pair(name, "=", value);
        let outer = beside.quote.and_then(|quote| quotes.find(quote));
        words.extend(outer.map(|quote| quotes.within(quote, &pair)));
        words.push(quotes.bare(&pair));
        words.extend(quotes.all().map(|quote| quotes.within(quote, &pair)));
        // Of several on the line, up to the first.
        let first = first.map_or(beside, |first| &reading.settings[first]);
        text[beside.line.start..first.token.start].to_owned()
    } else {
        let outer = beside.quote.and_then(|quote| quotes.find(quote));
        words.extend(outer.map(|quote| quotes.within(quote, value)));
        words.push(quotes.bare(value));
        words.extend(quotes.all().map(|quote| quotes.within(quote, value)));
        let before = &text[beside.line.start..beside.name_span.start];
        let separator = &text[beside.name_span.end..beside.raw.start];
        format!(
            "{before}{name}{}",
            separator_like(separator, beside.raw.is_empty())
        )
    };
    let forms = words.into_iter().flatten().map(|word| {
        let mut line = Zeroizing::new(String::with_capacity(
            begins.len() + word.len() + newline.len(),
        ));
        for part in [begins.as_str(), &word, newline] {
            line.push_str(part);
        }
        Edit {
            span: beside.line.start..beside.line.start,
            text: line,
        }
    });
    Some(Addition {
        at: first.unwrap_or(at),
        number: 1,
        forms: forms.collect(),
    })
}

/// A separator; behind the one of a blank value the blank is missing.
pub(super) fn separator_like(separator: &str, blank_value: bool) -> String {
    if blank_value && separator.starts_with(' ') && !separator.ends_with(' ') {
        format!("{separator} ")
    } else {
        separator.to_owned()
    }
}

/// The line break of a line, or of the file where the line has none.
pub(super) fn newline(text: &str, line: &Range<usize>) -> &'static str {
    let own = &text[line.clone()];
    let first = || text.split_inclusive('\n').next().unwrap_or_default();
    let like = if own.ends_with('\n') { own } else { first() };
    if like.ends_with("\r\n") { "\r\n" } else { "\n" }
}

/// Which settings go, and which bytes, when the one at a place does. `None` if it can't go alone.
pub(super) fn removal(
    text: &str,
    syntax: Syntax,
    reading: &Reading,
    at: usize,
) -> Option<(Range<usize>, Range<usize>)> {
    let setting = &reading.settings[at];
    match syntax {
        Syntax::AwsCredentials | Syntax::AwsConfig => ini::removal(reading, at),
        Syntax::Structured(_) | Syntax::S3fsPasswords => None,
        Syntax::Shell | Syntax::Compose if !setting.alone => None,
        Syntax::Mc => Some((at..at + 1, structured::member_span(text, setting))),
        _ if setting.alone => Some((at..at + 1, setting.line.clone())),
        _ => {
            // With the blanks that part it from what follows, or else from what stands before.
            let behind = &text[setting.token.end..setting.line.end];
            let blanks = behind.len() - behind.trim_start_matches([' ', '\t']).len();
            let last = behind.trim().is_empty();
            let before = &text[setting.line.start..setting.token.start];
            let kept = before.trim_end_matches([' ', '\t']).len();
            let span = if last {
                setting.line.start + kept..setting.token.end
            } else {
                setting.token.start..setting.token.end + blanks
            };
            Some((at..at + 1, span))
        }
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
