//! Variables of a script or unit, as far as its text tells: which ones a line takes its words from, and which
//! other lines take them too.

use std::{collections::BTreeSet, ops::Range};

use crate::tools;

/// Variables within variables.
const MOST: usize = 16;

/// The variables that a part of a text names, those of their own values included.
pub(super) fn named(text: &str, part: Range<usize>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut parts = vec![&text[part]];
    while let Some(part) = parts.pop() {
        for name in mentions(part) {
            if names.len() == MOST || names.iter().any(|known| known == name) {
                continue;
            }
            names.push(name.to_owned());
            parts.extend(text.lines().filter_map(|line| value(line, name)));
        }
    }
    names
}

/// The lines, counted from 1, that name a variable, or one made of it, and run a tool that is known.
pub(super) fn lines_of_tools<'t>(text: &'t str, name: &str) -> impl Iterator<Item = u32> + 't {
    let mut made: BTreeSet<String> = [name.to_owned()].into();
    for _ in 0..MOST {
        let before = made.len();
        for line in text.lines() {
            let assigned = line.split_once('=').map(|(left, _)| left);
            let assigned = assigned.and_then(|left| left.split_whitespace().last());
            if let Some(assigned) = assigned
                && value(line, assigned)
                    .is_some_and(|value| mentions(value).any(|name| made.contains(name)))
            {
                made.insert(assigned.to_owned());
            }
        }
        if made.len() == before {
            break;
        }
    }
    let lines = text.lines().zip(1..);
    lines.filter_map(move |(line, number)| {
        let told_only = ["#", "echo ", "printf ", "logger "];
        let line = line.trim_start();
        let assigns = line.strip_prefix("export ").unwrap_or(line);
        let assigns = assigns.contains('=') && assigns.split_whitespace().count() == 1;
        if assigns || told_only.iter().any(|begin| line.starts_with(begin)) {
            return None;
        }
        let mut words = line.split(|c: char| c.is_whitespace() || "\"'`();|&=".contains(c));
        let runs = words.any(|word| tools::is_known(word.rsplit('/').next().unwrap_or(word)));
        (runs && mentions(line).any(|name| made.contains(name))).then_some(number)
    })
}

/// The names behind `$` and `${`.
fn mentions(text: &str) -> impl Iterator<Item = &str> {
    text.split('$').skip(1).filter_map(|behind| {
        let behind = behind.strip_prefix('{').unwrap_or(behind);
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = behind.find(|c| !is_name(c)).unwrap_or(behind.len());
        Some(&behind[..end]).filter(|name| !name.is_empty())
    })
}

/// The value that a line assigns to a variable, as it is written.
fn value<'l>(line: &'l str, name: &str) -> Option<&'l str> {
    let line = line.trim_start();
    let line = ["export ", "local ", "readonly ", "declare "]
        .iter()
        .find_map(|word| line.strip_prefix(word))
        .unwrap_or(line);
    line.trim_start().strip_prefix(name)?.strip_prefix('=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_takes_its_words_from_variables_and_from_what_they_are_made_of() {
        let text = "HOST=http://h\nexport REPO=s3:$HOST/restic\nrestic -r \"${REPO}\" backup\necho $REPO\naws --endpoint-url $HOST s3 ls\n";
        let at = text.find("restic").unwrap();
        let names = named(text, at..at + 27);
        assert_eq!(names, ["REPO", "HOST"]);
        assert_eq!(lines_of_tools(text, "HOST").collect::<Vec<_>>(), [3, 5]);
        assert_eq!(lines_of_tools(text, "REPO").collect::<Vec<_>>(), [3]);
    }
}
