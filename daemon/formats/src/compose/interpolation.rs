//! Variables in a Compose file's values, by Compose's own rules: `$X`, `${X}`, `${X:-default}` and their
//! like, which may be nested, and `$$` for a dollar.

use zeroize::Zeroizing;

/// How deep a default may hold another variable.
const DEEPEST: usize = 8;
/// Variables in values can make them grow without end.
const LONGEST_VALUE: usize = 64 << 10;

/// Why a value can't be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// `${X:?…}` of a variable that is not set.
    Needs(String),
    /// It is no template.
    Invalid,
}

type Lookup<'l> = &'l dyn Fn(&str) -> Option<Zeroizing<String>>;

/// A value with its variables replaced. One that is not set is nothing.
pub(super) fn interpolated(text: &str, lookup: Lookup<'_>) -> Result<Zeroizing<String>, Fault> {
    let mut value = Zeroizing::new(String::with_capacity(text.len()));
    expand(text, &mut value, lookup, 0)?;
    Ok(value)
}

/// The variable that a value is, if it is nothing else.
pub(super) fn alone(text: &str) -> Option<String> {
    let rest = text.strip_prefix('$')?;
    let (name, whole) = match rest.strip_prefix('{') {
        Some(inner) => {
            let end = closing(inner)?;
            let operator = &inner[name_end(inner)..end];
            let fits = operator.trim_start_matches(':').starts_with(['-', '?']);
            let whole = end + 1 == inner.len() && (operator.is_empty() || fits);
            (&inner[..name_end(inner)], whole)
        }
        None => (&rest[..name_end(rest)], name_end(rest) == rest.len()),
    };
    (whole && !name.is_empty()).then(|| name.to_owned())
}

fn expand(text: &str, value: &mut String, lookup: Lookup<'_>, depth: usize) -> Result<(), Fault> {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        value.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if value.len() > LONGEST_VALUE || depth > DEEPEST {
            return Err(Fault::Invalid);
        }
        if let Some(after) = rest.strip_prefix('$') {
            value.push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = closing(inner).ok_or(Fault::Invalid)?;
            braced(&inner[..end], value, lookup, depth)?;
            rest = &inner[end + 1..];
        } else {
            let end = name_end(rest);
            if end == 0 {
                return Err(Fault::Invalid);
            }
            if let Some(found) = lookup(&rest[..end]) {
                value.push_str(&found);
            }
            rest = &rest[end..];
        }
    }
    value.push_str(rest);
    Ok(())
}

fn braced(inner: &str, value: &mut String, lookup: Lookup<'_>, depth: usize) -> Result<(), Fault> {
    let (name, operator) = inner.split_at(name_end(inner));
    if name.is_empty() {
        return Err(Fault::Invalid);
    }
    // With a colon, what is empty counts as not set.
    let (colon, operator) = match operator.strip_prefix(':') {
        Some(operator) => (true, operator),
        None => (false, operator),
    };
    let set = lookup(name).filter(|found| !(colon && found.is_empty()));
    let mut operator = operator.chars();
    match (operator.next(), operator.as_str(), set) {
        (None, _, set) if !colon => value.push_str(set.as_ref().map_or("", |set| set.as_str())),
        (Some('-' | '?'), _, Some(set)) => value.push_str(&set),
        (Some('-'), default, None) => expand(default, value, lookup, depth + 1)?,
        (Some('?'), _, None) => return Err(Fault::Needs(name.to_owned())),
        (Some('+'), other, Some(_)) => expand(other, value, lookup, depth + 1)?,
        (Some('+'), _, None) => {}
        _ => return Err(Fault::Invalid),
    }
    Ok(())
}

/// Where the brace that is open ends.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes[at - 1] == b'$' => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn name_end(text: &str) -> usize {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return 0;
    }
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}
