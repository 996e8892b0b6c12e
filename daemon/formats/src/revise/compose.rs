//! `environment:` of the services of a Compose file, as a mapping or as a list.

use std::ops::Range;

use zeroize::Zeroizing;

use super::{
    CannotRevise, quoting,
    setting::{Lines, Reading, Setting, Value},
    structured,
};
use crate::leaves::{Leaf, Step, Structure, leaves};

pub(super) fn read(text: &str, reading: &mut Reading) -> Result<(), CannotRevise> {
    let lines = Lines::of(text);
    let found = leaves(text, Structure::Yaml).map_err(CannotRevise::Unreadable)?;
    for leaf in &found {
        let setting = match leaf.path.as_slice() {
            [
                Step::Name(services),
                Step::Name(service),
                Step::Name(environment),
                last,
            ] if services == "services" && environment == "environment" && leaf.document == 0 => {
                match last {
                    Step::Name(name) => Some(of_mapping(text, &lines, service, name, leaf)),
                    Step::Index(_) => of_list(text, &lines, service, leaf),
                }
            }
            _ => None,
        };
        match setting {
            Some(setting) => reading.settings.push(setting),
            None => reading.rest.push(structured::shown(leaf)),
        }
    }
    Ok(())
}

/// A leaf's text with its quotes, and which these are.
fn written(text: &str, leaf: &Leaf<'_>) -> (Range<usize>, Option<&'static str>) {
    let raw = leaf.span.start.saturating_sub(1)..(leaf.span.end + 1).min(text.len());
    match quoting::around(text, &raw).filter(|mark| *mark != "`") {
        Some(mark) => (raw, Some(mark)),
        None => (leaf.span.clone(), None),
    }
}

/// A value: `$$` is a dollar, and any other one begins a variable.
fn value(raw: &str, value: &str) -> Value {
    let literal = Zeroizing::new(value.replace("$$", "$"));
    if raw.contains('\n') {
        Value::Folded(literal)
    } else if value.replace("$$", "").contains('$') {
        Value::Computed(Zeroizing::new(value.to_owned()))
    } else {
        Value::Literal(literal)
    }
}

fn is_end(text: &str) -> bool {
    text.trim().is_empty() || (text.starts_with([' ', '\t']) && text.trim().starts_with('#'))
}

fn of_mapping(
    text: &str,
    lines: &Lines<'_>,
    service: &str,
    name: &str,
    leaf: &Leaf<'_>,
) -> Setting {
    let (raw, quote) = written(text, leaf);
    let line = lines.around(&raw);
    let begins = text[line.start..raw.start].trim_start();
    let key_at = raw.start - begins.len();
    let own = begins.trim_start_matches(['"', '\'']);
    let key_start = raw.start - own.len();
    let follows = own.strip_prefix(name).map(|rest| {
        let rest = rest.strip_prefix(['"', '\'']).unwrap_or(rest);
        rest.trim() == ":"
    });
    // From another place by an alias, or in one line with others.
    let alone = follows == Some(true) && is_end(&text[raw.end..line.end]);
    let is_none = quote.is_none() && matches!(&*leaf.value, "" | "~" | "null" | "Null" | "NULL");
    let value = if is_none {
        Value::Computed(Zeroizing::new(leaf.value.to_string()))
    } else {
        value(&text[raw.clone()], &leaf.value)
    };
    let name_span = if alone {
        key_start..key_start + name.len()
    } else {
        raw.start..raw.start
    };
    let mut setting = Setting::new(lines, (service, name), value, name_span, raw, quote);
    setting.token.start = key_at.min(setting.token.start);
    setting.alone = alone;
    setting
}

fn of_list(text: &str, lines: &Lines<'_>, service: &str, leaf: &Leaf<'_>) -> Option<Setting> {
    let (token, quote) = written(text, leaf);
    let (name, set) = match leaf.value.split_once('=') {
        Some((name, set)) => (name, Some(set)),
        None => (&*leaf.value, None),
    };
    if name.is_empty() || name.contains(['$', '\n']) {
        return None;
    }
    let inner = leaf.span.clone();
    let from = inner.start + name.len() + 1;
    let begins = text
        .get(inner.start..from)
        .and_then(|t| t.strip_suffix('='));
    let as_expected = begins == Some(name) && from <= inner.end;
    let raw = if as_expected {
        from..inner.end
    } else {
        inner.clone()
    };
    let value = match set {
        Some(set) if as_expected => value(&text[token.clone()], set),
        _ => Value::Computed(Zeroizing::new(leaf.value.to_string())),
    };
    let line = lines.around(&token);
    let before = text[line.start..token.start].trim_start();
    let name_span = inner.start..(inner.start + name.len()).min(inner.end);
    let mut setting = Setting::new(lines, (service, name), value, name_span, raw, None);
    setting.alone = before.starts_with('-')
        && before[1..].trim().is_empty()
        && is_end(&text[token.end..line.end]);
    setting.quote = quote;
    setting.whole = true;
    setting.line = line;
    setting.token = token;
    Some(setting)
}
