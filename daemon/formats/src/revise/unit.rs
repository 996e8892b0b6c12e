//! `Environment=` of a systemd unit's `[Service]`.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{
    quoting,
    setting::{Lines, Reading, Setting, Value},
};
use crate::unit::{
    self, UnitFile,
    exec::{self, is_variable},
};

pub(super) fn read(text: &str, reading: &mut Reading) {
    let lines = Lines::of(text);
    for found in UnitFile::parse(text).settings {
        if (found.section, found.key) != ("Service", "Environment") {
            let other = quoting::joined(&[found.section, "\n", found.key, "\n", &found.value]);
            reading.rest.push(other);
            continue;
        }
        if found.value.is_empty() {
            // It resets the list.
            for setting in &mut reading.settings {
                setting.counts = false;
            }
        }
        let value = in_place(text, &found.span);
        let words = exec::words(&value).unwrap_or_default();
        if words.is_empty() {
            reading.rest.push(Zeroizing::new(found.value.into_owned()));
            continue;
        }
        let starts = words.iter().map(|word| word.offset);
        let ends = starts.skip(1).chain([value.len()]);
        let line = lines.around(&found.span);
        for (word, end) in words.iter().zip(ends) {
            let length = value[word.offset..end].trim_end().len();
            let start = found.span.start + word.offset;
            let setting = assignment(text, &lines, &word.text, start..start + length);
            let Some(mut setting) = setting else {
                reading.rest.push(Zeroizing::new(word.text.clone()));
                continue;
            };
            setting.line = line.clone();
            setting.alone = words.len() == 1;
            reading.settings.push(setting);
        }
    }
}

/// The value with blanks for what joins its lines, every other byte where it stands in the file.
fn in_place(text: &str, span: &Range<usize>) -> Zeroizing<String> {
    let mut value = Zeroizing::new(String::with_capacity(span.len()));
    for (line, number) in text[span.clone()].split_inclusive('\n').zip(0..) {
        let content = line.trim_end_matches(['\n', '\r']);
        let kept = if number > 0 && unit::is_comment(content) {
            ""
        } else if unit::continues(content) {
            &content[..content.len() - 1]
        } else {
            content
        };
        value.push_str(kept);
        value.extend(std::iter::repeat_n(' ', line.len() - kept.len()));
    }
    value
}

fn assignment(text: &str, lines: &Lines<'_>, word: &str, token: Range<usize>) -> Option<Setting> {
    let (name, value) = word.split_once('=').filter(|(name, _)| is_variable(name))?;
    let around = quoting::around(text, &token).filter(|mark| *mark != "`");
    let start = token.start + around.map_or(0, str::len);
    let end = token.end - around.map_or(0, str::len);
    let written = Zeroizing::new(text[token.clone()].to_owned());
    let from = start + name.len() + 1;
    let as_expected = text
        .get(start..from)
        .is_some_and(|begins| begins.strip_suffix('=') == Some(name));
    let raw = if as_expected { from..end } else { start..end };
    let quote = match around {
        Some(_) => None,
        None => quoting::around(text, &raw).filter(|mark| *mark != "`"),
    };
    let value = if written.contains('\n') {
        Value::Folded(written)
    } else if !as_expected || value.replace("%%", "").contains('%') {
        Value::Computed(written)
    } else {
        Value::Literal(Zeroizing::new(value.replace("%%", "%")))
    };
    let name_span = start..start + name.len();
    let mut setting = Setting::new(lines, ("", name), value, name_span, raw, quote);
    setting.quote = around.or(quote);
    setting.token = token;
    setting.whole = true;
    Some(setting)
}
