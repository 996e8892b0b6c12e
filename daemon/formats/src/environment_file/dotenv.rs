//! `.env` files as Compose reads them.

use std::collections::BTreeMap;

use zeroize::Zeroizing;

use super::{Assignment, MOST};

/// How deep a default may hold another variable.
const DEEPEST: usize = 4;
/// Variables in values can make them grow without end.
const LONGEST_VALUE: usize = 16 << 10;

type Outside<'o> = &'o dyn Fn(&str) -> Option<String>;

/// What `$X` means: the surroundings go first.
struct Known<'o> {
    outside: Outside<'o>,
    own: BTreeMap<String, Zeroizing<String>>,
}

impl Known<'_> {
    fn look_up(&self, name: &str) -> Option<Zeroizing<String>> {
        let outside = (self.outside)(name).map(Zeroizing::new);
        outside.or_else(|| self.own.get(name).cloned())
    }
}

pub(super) fn parse(text: &str, outside: Outside<'_>) -> Vec<Assignment> {
    let mut found: Vec<Assignment> = Vec::new();
    let mut known = Known {
        outside,
        own: BTreeMap::new(),
    };
    let mut at = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut line = 1_u32;
    while at < text.len() && found.len() < MOST {
        let rest = &text[at..];
        let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let whole = rest[..end].trim_end_matches(['\n', '\r']);
        let mut used = end;
        let mut own = whole.trim_start();
        if let Some(after) = own
            .strip_prefix("export")
            .filter(|after| after.starts_with([' ', '\t']))
        {
            own = after.trim_start();
        }
        let offset = at + whole.len() - own.len();
        let separator = own.find(['=', ':']).filter(|_| !own.starts_with('#'));
        if let Some(separator) = separator {
            let name = own[..separator].trim_end();
            let behind = own[separator + 1..].trim_start();
            let value_at = offset + own.len() - behind.len();
            let (value, length, written) = value(&text[value_at..], behind, &known);
            // A value in quotes may go on for several lines.
            if value_at + length > at + end {
                let over = value_at + length;
                used = text[over..]
                    .find('\n')
                    .map_or(text.len(), |end| over + end + 1)
                    - at;
            }
            let fits = |c: char| c.is_alphanumeric() || "_.-[]".contains(c);
            if !name.is_empty() && name.chars().all(fits) {
                known.own.insert(name.to_owned(), value.clone());
                found.push(Assignment {
                    name: name.to_owned(),
                    value,
                    offset,
                    span: value_at..value_at + written,
                    line,
                });
            }
        }
        let lines = text[at..at + used].matches('\n').count();
        line = line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        at += used;
    }
    found
}

/// The value that a text begins with, how many bytes it takes with what follows on its line, and how
/// many by itself; `line` is what of it stands on the line.
fn value(text: &str, line: &str, known: &Known<'_>) -> (Zeroizing<String>, usize, usize) {
    if let Some(inner) = line.starts_with('\'').then(|| &text[1..])
        && let Some(end) = inner.find('\'')
    {
        return (Zeroizing::new(inner[..end].to_owned()), end + 2, end + 2);
    }
    if line.starts_with('"')
        && let Some(end) = closing(&text[1..])
    {
        return (expanded(&text[1..=end], true, known, 0), end + 2, end + 2);
    }
    let own = match line
        .find(" #")
        .or_else(|| line.starts_with('#').then_some(0))
    {
        Some(comment) => &line[..comment],
        None => line,
    };
    let own = own.trim_end();
    (expanded(own, false, known, 0), line.len(), own.len())
}

/// Where a text within double quotes ends.
fn closing(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().find_map(|(at, c)| {
        let closes = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        closes.then_some(at)
    })
}

fn expanded(text: &str, escapes: bool, known: &Known<'_>, depth: usize) -> Zeroizing<String> {
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    let mut rest = text;
    while value.len() < LONGEST_VALUE
        && let Some(at) = rest.find(['$', '\\'])
    {
        value.push_str(&rest[..at]);
        let dollar = rest[at..].starts_with('$');
        rest = &rest[at + 1..];
        if dollar {
            rest = variable(rest, &mut value, known, depth);
            continue;
        }
        let next = rest.chars().next();
        match next.filter(|_| escapes) {
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some('t') => value.push('\t'),
            Some(c @ ('"' | '\\' | '$')) => value.push(c),
            _ if rest.starts_with('$') => value.push('$'),
            _ => {
                value.push('\\');
                continue;
            }
        }
        rest = &rest[next.map_or(0, char::len_utf8)..];
    }
    value.push_str(rest);
    value
}

/// Adds what stands behind a `$`, and returns what follows it.
fn variable<'t>(rest: &'t str, value: &mut String, known: &Known<'_>, depth: usize) -> &'t str {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if let Some(after) = rest.strip_prefix('$') {
        value.push('$');
        return after;
    }
    let Some(inner) = rest.strip_prefix('{') else {
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        if end == 0 {
            value.push('$');
        } else if let Some(found) = known.look_up(&rest[..end]) {
            value.push_str(&found);
        }
        return &rest[end..];
    };
    let Some((inner, after)) = inner.split_once('}') else {
        value.push_str("${");
        return inner;
    };
    let end = inner.find(|c| !is_name(c)).unwrap_or(inner.len());
    let (name, operator) = inner.split_at(end);
    let set = known.look_up(name);
    let filled = set.as_ref().filter(|value| !value.is_empty());
    let default = |text: &str| {
        if depth < DEEPEST {
            expanded(text, false, known, depth + 1)
        } else {
            Zeroizing::new(String::new())
        }
    };
    if let Some(text) = operator.strip_prefix(":-") {
        value.push_str(filled.unwrap_or(&default(text)));
    } else if let Some(text) = operator.strip_prefix('-') {
        value.push_str(set.as_ref().unwrap_or(&default(text)));
    } else if let Some(text) = operator.strip_prefix(":+") {
        if filled.is_some() {
            value.push_str(&default(text));
        }
    } else if let Some(set) = set {
        value.push_str(&set);
    }
    after
}
