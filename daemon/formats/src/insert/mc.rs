//! mc's `config.json`: a new member of its `aliases`, in the way the file is laid out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::NoRoom;
use crate::{edit::Edit, handout::SectionName};

/// What mc writes when it has nothing yet.
const EMPTY: &str = "{\n\t\"version\": \"10\",\n\t\"aliases\": {}\n}\n";

#[derive(Deserialize)]
struct Config<'a> {
    version: String,
    #[serde(borrow)]
    aliases: Option<&'a RawValue>,
}

/// Whatever stands in an object, by name.
type Members<'a> = BTreeMap<String, &'a RawValue>;

pub(super) fn insert(text: &str, name: &SectionName, entry: &str) -> Result<Edit, NoRoom> {
    if text.trim().is_empty() {
        let new = insert(EMPTY, name, entry)?;
        let whole = crate::edit::apply(EMPTY, &[new]).map_err(|_| NoRoom::Json { line: 1 })?;
        return Ok(Edit {
            span: 0..text.len(),
            text: whole,
        });
    }
    let config: Config<'_> = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
    if config.version != "10" {
        return Err(NoRoom::McVersion);
    }
    let outer = Layout::of(text.trim_start());
    let Some(aliases) = config.aliases else {
        let inner = outer.deeper(&outer);
        let parts = [
            "\"aliases\": {",
            &inner.0,
            &member(name, entry, &inner, &outer),
            &outer.0,
            "}",
        ];
        return into(text, text, &outer, &concat(&parts));
    };
    let line = || text[..place(text, aliases.get())].lines().count().max(1);
    let aliases = aliases.get();
    let members: Members<'_> =
        serde_json::from_str(aliases).map_err(|_| NoRoom::Json { line: line() })?;
    if members.contains_key(name.as_str()) {
        return Err(NoRoom::Exists(format!("the alias {name}")));
    }
    if members.is_empty() {
        let inner = outer.deeper(&outer);
        let new = member(name, entry, &inner, &outer);
        let at = place(text, aliases) + 1;
        return Ok(Edit {
            span: at..at,
            text: concat(&[&inner.0, &new, &outer.0]),
        });
    }
    let inner = Layout::of(aliases);
    into(text, aliases, &inner, &member(name, entry, &inner, &outer))
}

/// The blank space before the members of an object: what makes its layout.
struct Layout(String);

impl Layout {
    fn of(object: &str) -> Self {
        let inside = object.strip_prefix('{').unwrap_or(object);
        let blank = inside.len() - inside.trim_start().len();
        // Blank lines are not repeated.
        let line = inside[..blank].rfind('\n').map_or("", |at| {
            let at = if inside[..at].ends_with('\r') {
                at - 1
            } else {
                at
            };
            &inside[at..blank]
        });
        Self(line.to_owned())
    }

    /// One step of indentation, given the layout of the outermost object.
    fn deeper(&self, outermost: &Self) -> Self {
        let step = outermost.0.trim_start_matches(['\r', '\n']);
        let step = if step.is_empty() { "\t" } else { step };
        Self(match self.0.as_str() {
            "" => String::new(),
            line => format!("{line}{step}"),
        })
    }
}

/// `"name": {…}` without a line break around it.
fn member(name: &SectionName, entry: &str, at: &Layout, outermost: &Layout) -> Zeroizing<String> {
    let deeper = at.deeper(outermost);
    let mut text = Zeroizing::new(String::with_capacity(2 * entry.len() + 1024));
    text.push('"');
    // Its characters stand for themselves in JSON.
    text.push_str(name.as_str());
    text.push_str("\": ");
    for (number, line) in entry.lines().enumerate() {
        let content = line.trim_start();
        if number > 0 {
            text.push_str(if content == line { &at.0 } else { &deeper.0 });
        }
        text.push_str(content);
    }
    text
}

/// Adds a member behind the last one of an object that has some.
fn into(text: &str, object: &str, layout: &Layout, member: &str) -> Result<Edit, NoRoom> {
    let members: Members<'_> = serde_json::from_str(object).map_err(|error| unreadable(&error))?;
    let ends = members.values().map(|value| {
        let value = value.get();
        place(text, value) + value.len()
    });
    let at = ends.max().ok_or(NoRoom::Json { line: 1 })?;
    Ok(Edit {
        span: at..at,
        text: concat(&[",", &layout.0, member]),
    })
}

/// Where a part of the text begins.
fn place(text: &str, part: &str) -> usize {
    part.as_ptr().addr() - text.as_ptr().addr()
}

fn unreadable(error: &serde_json::Error) -> NoRoom {
    NoRoom::Json { line: error.line() }
}

fn concat(parts: &[&str]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|p| p.len()).sum()));
    for part in parts {
        text.push_str(part);
    }
    text
}
