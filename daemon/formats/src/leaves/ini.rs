//! `[section]` and `key = value` for tools that read them more loosely than those of `crate::ini`.
//! No line is an error: what is neither is passed over.

use super::{Collector, Leaf, name};
use crate::ini::ParseError;

/// How a tool reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IniRules {
    /// Section names are passed over (s3cmd).
    pub no_sections: bool,
    /// `:` separates too.
    pub colon: bool,
    /// Which pairs of quotes around a value are removed, such as `"'`.
    pub quotes: &'static str,
    /// A blank and then one of these ends a value that is not quoted, such as `#;`.
    pub comments: &'static str,
}

pub(super) fn read(text: &str, rules: IniRules) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut collector = Collector::new(text);
    let mut in_section = false;
    for raw in text.split_inclusive('\n') {
        let line = raw.trim_start_matches('\u{feff}').trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = section(line) {
            if !rules.no_sections {
                if in_section {
                    collector.leave();
                }
                let at = collector.span_of(line).start;
                collector.enter(name(section), at)?;
                in_section = true;
            }
            continue;
        }
        let separators: &[char] = if rules.colon { &['=', ':'] } else { &['='] };
        let Some((key, value)) = line.split_once(separators) else {
            continue;
        };
        let value = plain(value.trim(), rules);
        let span = collector.span_of(value);
        collector.value_at(name(unquoted(key.trim(), "\"'")), value.into(), span)?;
    }
    Ok(collector.leaves)
}

/// The section's name. Of `[[inner]]` it is the inner one; quotes belong to it only inside.
fn section(line: &str) -> Option<&str> {
    let inner = line.strip_prefix('[')?;
    let end = inner.rfind(']')?;
    let inner = inner[..end].trim_matches(['[', ']']).trim();
    Some(unquoted(inner, "'"))
}

fn plain(value: &str, rules: IniRules) -> &str {
    let whole = unquoted(value, rules.quotes);
    if whole.len() != value.len() || rules.comments.is_empty() {
        return whole;
    }
    let ends = value
        .char_indices()
        .zip(value.chars().skip(1))
        .find(|((_, blank), mark)| blank.is_whitespace() && rules.comments.contains(*mark));
    match ends {
        Some(((at, _), _)) => unquoted(value[..at].trim_end(), rules.quotes),
        None => value,
    }
}

fn unquoted<'t>(text: &'t str, quotes: &str) -> &'t str {
    quotes
        .chars()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}
