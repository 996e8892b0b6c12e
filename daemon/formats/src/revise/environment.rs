//! Lines of `NAME=value` that set variables.

use zeroize::Zeroizing;

use super::setting::{Lines, Reading, Setting, Value};
use crate::environment_file::{self, Dialect};

pub(super) fn file(text: &str, dialect: Dialect, reading: &mut Reading) {
    let lines = Lines::of(text);
    let found = environment_file::parse(text, dialect, |_| None);
    // Where the surroundings matter, the value is not the file's own.
    let other = environment_file::parse(text, dialect, |_| Some("\u{1}"));
    for (assignment, other) in found.into_iter().zip(other) {
        let raw = assignment.span;
        let quoted = super::quoting::around(text, &raw).is_some() && dialect != Dialect::Docker;
        let span = if quoted {
            raw.start + 1..raw.end - 1
        } else {
            raw.clone()
        };
        let value = if assignment.value == other.value {
            Value::Literal(assignment.value)
        } else {
            Value::Computed(Zeroizing::new(text[raw.clone()].to_owned()))
        };
        reading.settings.push(Setting {
            section: String::new(),
            name_span: assignment.offset..assignment.offset + assignment.name.len(),
            name: assignment.name,
            value,
            span,
            token: assignment.offset..raw.end,
            line: lines.around(&(assignment.offset..raw.end)),
            raw,
            whole: false,
            line_number: assignment.line,
            alone: true,
            counts: true,
        });
    }
}
