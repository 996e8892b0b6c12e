//! Lines of `NAME=value` that set variables.

use zeroize::Zeroizing;

use super::{
    quoting,
    setting::{Lines, Reading, Setting, Value},
};
use crate::{
    crontab,
    environment_file::{self, Dialect},
};

pub(super) fn file(text: &str, dialect: Dialect, reading: &mut Reading) {
    let lines = Lines::of(text);
    let found = environment_file::parse(text, dialect, |_| None);
    // Where the surroundings matter, the value is not the file's own.
    let other = environment_file::parse(text, dialect, |_| Some("\u{1}"));
    for (assignment, other) in found.into_iter().zip(other) {
        let raw = assignment.span;
        let quote = quoting::around(text, &raw).filter(|_| dialect != Dialect::Docker);
        let value = if assignment.value == other.value {
            Value::Literal(assignment.value)
        } else {
            Value::Computed(Zeroizing::new(text[raw.clone()].to_owned()))
        };
        let name = assignment.name.as_str();
        let name_span = assignment.offset..assignment.offset + name.len();
        let setting = Setting::new(&lines, ("", name), value, name_span, raw, quote);
        reading.settings.push(setting);
    }
}

pub(super) fn crontab(text: &str, reading: &mut Reading) {
    let lines = Lines::of(text);
    for line in crontab::parse(text, crontab::Dialect::User) {
        let variable = match line {
            crontab::Line::Variable(variable) => variable,
            crontab::Line::Job(job) => {
                reading.rest.push(Zeroizing::new(job.command.into_owned()));
                continue;
            }
            crontab::Line::Broken { line } => {
                let broken = text[lines.line(line)].trim().to_owned();
                reading.rest.push(Zeroizing::new(broken));
                continue;
            }
        };
        let line = lines.line(variable.line);
        let Some((before, value)) = text[line.clone()].split_once('=') else {
            continue;
        };
        let Some(name_at) = before.find(&variable.name) else {
            continue;
        };
        let value_at = line.start + before.len() + 1 + value.len() - value.trim_start().len();
        // A blank value is nothing but the end of the line.
        let raw = match value.trim() {
            "" => line.start + before.len() + 1..line.start + before.len() + 1,
            value => value_at..value_at + value.len(),
        };
        let quote = quoting::around(text, &raw).filter(|mark| *mark != "`");
        let name_span = line.start + name_at..line.start + name_at + variable.name.len();
        let value = Value::Literal(variable.value);
        let name = variable.name.as_str();
        let setting = Setting::new(&lines, ("", name), value, name_span, raw, quote);
        reading.settings.push(setting);
    }
}
