//! What can't be read as its format: a line at a time, `name: value` or `name = value`. Indentation
//! and `[section]` lines make the path, as far as they can be believed.

use super::{Collector, DEEPEST, Leaf, name};
use crate::ini::ParseError;

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut collector = Collector::new(text);
    // How far each step of the path is indented.
    let mut indents: Vec<usize> = Vec::new();
    for raw in text.split_inclusive('\n') {
        let body = raw.trim_start();
        let mut indent = raw.len() - body.len();
        let mut line = body.trim_end();
        if line.is_empty() || line.starts_with(['#', ';', '/']) {
            continue;
        }
        if let Some(section) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            indents.clear();
            collector.path.clear();
            for step in section.trim_matches(['[', ']']).split('.').take(DEEPEST) {
                collector.enter(name(step.trim().trim_matches(['"', '\''])), 0)?;
                indents.push(0);
            }
            // What follows is inside, however little it is indented.
            indents.iter_mut().for_each(|indent| *indent = 0);
            continue;
        }
        while let Some(rest) = line.strip_prefix("- ") {
            let inner = rest.trim_start();
            indent += line.len() - inner.len();
            line = inner;
        }
        let Some((key, value)) = line.split_once([':', '=']) else {
            continue;
        };
        while indents
            .last()
            .is_some_and(|outer| *outer >= indent && *outer > 0)
            || indents.len() > collector.path.len()
        {
            indents.pop();
            collector.leave();
        }
        let key = key.trim().trim_matches(['"', '\'']);
        let value = value.trim().trim_end_matches(',').trim();
        let value = ['"', '\'']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
            .unwrap_or(value);
        if value.is_empty() || value == "{" || value == "[" {
            if collector.path.len() < DEEPEST {
                // Blank lines of the outermost level have no indentation to tell them apart by.
                if indent == 0 {
                    indents.clear();
                    collector.path.clear();
                }
                collector.enter(name(key), 0)?;
                indents.push(indent.max(1));
            }
            continue;
        }
        if indent == 0 && indents.iter().any(|outer| *outer > 0) {
            indents.clear();
            collector.path.clear();
        }
        let span = collector.span_of(value);
        collector.value_at(name(key), value.into(), span)?;
    }
    Ok(collector.leaves)
}
