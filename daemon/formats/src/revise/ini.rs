//! The files of rclone, the AWS tools and s3cmd.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{
    CannotRevise, Syntax,
    change::{Addition, line_before, newline},
    quoting,
    setting::{Inherited, Lines, Reading, Setting, Value},
};
use crate::{
    ini::{Dialect, Document, Entry},
    leaves::{IniRules, Step, Structure, leaves},
    rclone,
};

const S3CMD: IniRules = IniRules {
    no_sections: true,
    colon: false,
    quotes: "\"",
    comments: "",
};
/// What holds for every profile.
const DEFAULT: &str = "DEFAULT";

pub(super) fn rclone(text: &str, reading: &mut Reading) -> Result<(), CannotRevise> {
    if rclone::is_encrypted(text) {
        return Err(CannotRevise::Encrypted);
    }
    let document = Document::parse(text, Dialect::Rclone).map_err(CannotRevise::Unreadable)?;
    let lines = Lines::of(text);
    for section in document.sections() {
        for entry in &section.entries {
            let mut setting = setting(text, &lines, section.name, entry, &["\"\"\"", "`"]);
            // `%(name)s` is replaced.
            if let Some((_, behind)) = entry.value.split_once("%(")
                && behind.contains(")s")
            {
                setting.value = Value::Computed(Zeroizing::new(entry.value.to_owned()));
            }
            reading.settings.push(setting);
        }
    }
    inherit(&document, reading);
    Ok(())
}

/// What `[a.b]` has from `[a]`.
fn inherit(document: &Document<'_>, reading: &mut Reading) {
    let mut heirs: Vec<&str> = document.sections().iter().map(|s| s.name).collect();
    heirs.sort_unstable();
    heirs.dedup();
    for heir in heirs.into_iter().filter(|name| name.contains('.')) {
        let mut names: Vec<&str> = document
            .sections()
            .iter()
            .filter(|section| {
                let below = heir.strip_prefix(section.name);
                below.is_some_and(|below| below.starts_with('.'))
            })
            .flat_map(|section| section.entries.iter().map(|entry| entry.key))
            .collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            if document.entry(heir, name).is_none()
                && let Some(value) = rclone::value(document, heir, name)
            {
                reading.inherited.push(Inherited {
                    section: heir.to_owned(),
                    name: name.to_owned(),
                    value: Zeroizing::new(value.into_owned()),
                });
            }
        }
    }
}

pub(super) fn aws(text: &str, reading: &mut Reading) -> Result<(), CannotRevise> {
    let document = Document::parse(text, Dialect::Aws).map_err(CannotRevise::Unreadable)?;
    let lines = Lines::of(text);
    for section in document.sections() {
        for entry in &section.entries {
            let mut outer = setting(text, &lines, section.name, entry, &[]);
            if entry.folded {
                outer.value = Value::Folded(Zeroizing::new(entry.value.to_owned()));
            }
            let nested = entry.nested.iter().map(|nested| {
                let mut inner = setting(text, &lines, section.name, nested, &[]);
                inner.name = format!("{}.{}", entry.key, nested.key).to_lowercase();
                inner
            });
            let nested: Vec<_> = nested.collect();
            if let Some(last) = nested.last() {
                outer.line.end = last.line.end;
            }
            outer.name = outer.name.to_lowercase();
            reading.settings.push(outer);
            reading.settings.extend(nested);
        }
    }
    let defaults = document.sections().iter().filter(|s| s.name == DEFAULT);
    let defaults: Vec<_> = defaults.flat_map(|section| &section.entries).collect();
    for section in document.sections().iter().filter(|s| s.name != DEFAULT) {
        for default in &defaults {
            let own = |entry: &Entry<'_>| entry.key.eq_ignore_ascii_case(default.key);
            if !section.entries.iter().any(own) {
                reading.inherited.push(Inherited {
                    section: section.name.to_owned(),
                    name: default.key.to_lowercase(),
                    value: Zeroizing::new(default.value.to_owned()),
                });
            }
        }
    }
    Ok(())
}

pub(super) fn s3cfg(text: &str, reading: &mut Reading) -> Result<(), CannotRevise> {
    let lines = Lines::of(text);
    let found = leaves(text, Structure::Ini(S3CMD)).map_err(CannotRevise::Unreadable)?;
    for leaf in found {
        let [Step::Name(name)] = leaf.path.as_slice() else {
            continue;
        };
        let line = lines.line(leaf.line);
        let Some(at) = text[line.clone()].find(&**name) else {
            continue;
        };
        let name_span = line.start + at..line.start + at + name.len();
        let (raw, quote) = quoted(text, &leaf.span, &["\""]);
        let value = Zeroizing::new(leaf.value.to_string());
        // s3cmd replaces variables of its surroundings.
        let value = if value.contains('$') {
            Value::Computed(value)
        } else {
            Value::Literal(value)
        };
        let setting = Setting::new(&lines, ("", name), value, name_span, raw, quote);
        reading.settings.push(setting);
    }
    Ok(())
}

/// A span with the quotes around it, if there are some.
fn quoted(
    text: &str,
    span: &Range<usize>,
    marks: &[&'static str],
) -> (Range<usize>, Option<&'static str>) {
    let (before, behind) = (&text[..span.start], &text[span.end..]);
    let mark = marks
        .iter()
        .find(|mark| before.ends_with(**mark) && behind.starts_with(**mark));
    match mark {
        Some(mark) => (span.start - mark.len()..span.end + mark.len(), Some(mark)),
        None => (span.clone(), None),
    }
}

fn setting(
    text: &str,
    lines: &Lines<'_>,
    section: &str,
    entry: &Entry<'_>,
    marks: &[&'static str],
) -> Setting {
    let (raw, quote) = quoted(text, &entry.value_span, marks);
    let value = Value::Literal(Zeroizing::new(entry.value.to_owned()));
    let name_span = entry.key_span.clone();
    Setting::new(lines, (section, entry.key), value, name_span, raw, quote)
}

/// A setting of the AWS tools, which may go into a block such as `s3 =`.
pub(super) fn addition(
    text: &str,
    reading: &Reading,
    at: usize,
    name: &str,
    value: &str,
) -> Option<Addition> {
    let syntax = Syntax::AwsConfig;
    let Some((block, inner)) = name.split_once('.') else {
        // Never into a block that what it stands beside is in.
        let at = outer_of(reading, at);
        return line_before(text, syntax, reading, at, name, value);
    };
    let section = &reading.settings[at].section;
    let of_block =
        |setting: &Setting| setting.section == *section && setting.name.eq_ignore_ascii_case(block);
    if let Some(head) = reading.settings.iter().position(of_block) {
        // An empty block has no line to be like.
        let first = head + 1;
        return is_nested_in(reading, first, head)
            .then(|| line_before(text, syntax, reading, first, inner, value))?;
    }
    let at = outer_of(reading, at);
    let beside = &reading.settings[at];
    let indent = &text[beside.line.start..beside.name_span.start];
    let separator = &text[beside.name_span.end..beside.raw.start];
    let separator = super::change::separator_like(separator, beside.raw.is_empty());
    let newline = newline(text, &beside.line);
    let block = [indent, block, separator.trim_end(), newline];
    let inner = [indent, "  ", inner, &separator, value, newline];
    Some(Addition {
        at,
        number: 2,
        forms: vec![crate::edit::Edit {
            span: beside.line.start..beside.line.start,
            text: quoting::joined(&[&block[..], &inner[..]].concat()),
        }],
    })
}

/// The head of the block that a setting is in, or the setting itself.
fn outer_of(reading: &Reading, at: usize) -> usize {
    let head = (0..at).rev().find(|head| is_nested_in(reading, at, *head));
    head.unwrap_or(at)
}

fn is_nested_in(reading: &Reading, at: usize, head: usize) -> bool {
    let (Some(inner), Some(outer)) = (reading.settings.get(at), reading.settings.get(head)) else {
        return false;
    };
    at > head && inner.line.start > outer.line.start && inner.line.end <= outer.line.end
}

/// Which settings and bytes go: the last one of a block takes the block with it.
pub(super) fn removal(reading: &Reading, at: usize) -> Option<(Range<usize>, Range<usize>)> {
    let setting = &reading.settings[at];
    let inner = |head: usize| {
        (head + 1..reading.settings.len()).take_while(move |at| is_nested_in(reading, *at, head))
    };
    if matches!(setting.value, Value::Folded(_)) {
        return None;
    }
    match outer_of(reading, at) {
        head if head < at && inner(head).count() == 1 => {
            Some((head..head + 2, reading.settings[head].line.clone()))
        }
        _ => Some((at..at + 1 + inner(at).count(), setting.line.clone())),
    }
}
