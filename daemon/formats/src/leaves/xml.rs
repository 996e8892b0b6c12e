//! XML. Entities of the document's own are not resolved.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use quick_xml::{Reader, escape, events::Event};

use super::{Collector, Leaf, Step, error_at, name};
use crate::ini::{ParseError, ParseErrorKind};

/// A value that is decoded, and where its text stands.
type Content<'a> = (Cow<'a, str>, Range<usize>);

/// What a text comes to, in its order.
pub(super) enum Part<'a> {
    /// The beginning of an element.
    Open {
        name: &'a str,
        attributes: Vec<(&'a str, Content<'a>)>,
        at: usize,
    },
    /// The end of an element, with its text if it holds nothing else.
    Close { content: Option<Content<'a>> },
}

/// An element that is open.
struct Element {
    content_from: usize,
    /// What it says so far; `None` once it holds another element.
    text: Option<String>,
}

/// Hands over each part of a text.
pub(super) fn parts<'a>(
    text: &'a str,
    mut take: impl FnMut(Part<'a>) -> Result<(), ParseError>,
) -> Result<(), ParseError> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().allow_dangling_amp = true;
    let mut open: Vec<Element> = Vec::new();
    let mut before = 0;
    loop {
        let event = reader
            .read_event()
            .map_err(|_| error_at(text, before, ParseErrorKind::Syntax))?;
        let after = usize::try_from(reader.buffer_position()).unwrap_or(text.len());
        let span = before..after.min(text.len());
        before = span.end;
        let more = match &event {
            Event::Text(content) => content.xml10_content(),
            Event::CData(content) => content.xml10_content(),
            Event::GeneralRef(reference) => match reference.resolve_char_ref() {
                Ok(Some(character)) => Cow::Owned(character.to_string()),
                _ => escape::resolve_predefined_entity(&reference.xml10_content())
                    .or(text.get(span.clone()))
                    .unwrap_or_default()
                    .into(),
            },
            Event::Start(start) | Event::Empty(start) => {
                if let Some(element) = open.last_mut() {
                    element.text = None;
                }
                let mut attributes = Vec::new();
                for attribute in start.attributes().with_checks(false) {
                    let attribute = attribute
                        .map_err(|_| error_at(text, span.start, ParseErrorKind::Syntax))?;
                    let key = slice_of(text, attribute.key.0);
                    let raw = slice_of(text, &attribute.value);
                    if let (Some((key, _)), Some((raw, at))) = (key, raw) {
                        let value = escape::unescape(raw).unwrap_or(Cow::Borrowed(raw));
                        attributes.push((key, (value, at)));
                    }
                }
                let name = slice_of(text, start.name().0).map_or("", |(name, _)| name);
                let at = span.start;
                take(Part::Open {
                    name,
                    attributes,
                    at,
                })?;
                if matches!(event, Event::Empty(_)) {
                    let content = Some((Cow::Borrowed(""), span.end..span.end));
                    take(Part::Close { content })?;
                } else {
                    open.push(Element {
                        content_from: span.end,
                        text: Some(String::new()),
                    });
                }
                continue;
            }
            Event::End(_) => {
                let Some(element) = open.pop() else {
                    return Err(error_at(text, span.start, ParseErrorKind::Syntax));
                };
                let inner = element.content_from..span.start;
                let content = element.text.map(|said| content(text, said, inner));
                take(Part::Close { content })?;
                continue;
            }
            Event::Eof if open.is_empty() => return Ok(()),
            Event::Eof => return Err(error_at(text, span.start, ParseErrorKind::Syntax)),
            _ => continue,
        };
        let element = open.last_mut().and_then(|element| element.text.as_mut());
        if let Some(said) = element {
            said.push_str(&more);
        }
    }
}

/// An element's text without the blanks around it.
fn content(text: &str, said: String, span: Range<usize>) -> Content<'_> {
    let raw = text.get(span.clone()).unwrap_or_default();
    if said != raw {
        let said = zeroize::Zeroizing::new(said);
        return (Cow::Owned(said.trim().to_owned()), span);
    }
    drop(zeroize::Zeroizing::new(said));
    let start = span.start + (raw.len() - raw.trim_start().len());
    let trimmed = raw.trim();
    (Cow::Borrowed(trimmed), start..start + trimmed.len())
}

/// A part that is a slice of the text, with the text's lifetime, and where it stands.
fn slice_of<'a>(text: &'a str, part: &str) -> Option<(&'a str, Range<usize>)> {
    let start = (part.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    let span = start..start.checked_add(part.len())?;
    let slice = text.get(span.clone())?;
    (slice == part).then_some((slice, span))
}

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut collector = Collector::new(text);
    // How many of each name an element holds so far.
    let mut counts: Vec<HashMap<&str, u32>> = vec![HashMap::new()];
    parts(text, |part| {
        match part {
            Part::Open {
                name: element,
                attributes,
                at,
            } => {
                let count = counts.last_mut().map(|counts| counts.entry(element));
                let index = count.map_or(0, |count| {
                    let next = count.or_insert(0);
                    *next += 1;
                    *next - 1
                });
                collector.enter(name(element), at)?;
                collector.enter(Step::Index(index), at)?;
                counts.push(HashMap::new());
                for (key, (value, span)) in attributes {
                    let step = Step::Name(Cow::Owned(format!("@{key}")));
                    collector.value_at(step, value, span)?;
                }
            }
            Part::Close { content } => {
                if let Some((value, span)) = content
                    && !value.is_empty()
                {
                    collector.value(value, span)?;
                }
                counts.pop();
                collector.leave();
                collector.leave();
            }
        }
        Ok(())
    })?;
    Ok(collector.leaves)
}

/// Elements that are not properties are passed over.
pub(super) fn read_properties(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut collector = Collector::new(text);
    let mut open: Vec<&str> = Vec::new();
    let (mut property, mut setting) = (None, None);
    parts(text, |part| {
        match part {
            Part::Open { name, at, .. } => {
                if open.len() == super::DEEPEST {
                    return Err(error_at(text, at, ParseErrorKind::TooDeep));
                }
                open.push(name);
            }
            Part::Close { content } => match open.pop() {
                Some("name") => property = content,
                Some("value") => setting = content,
                Some("property") => {
                    if let (Some((name, _)), Some((value, span))) =
                        (property.take(), setting.take())
                    {
                        collector.value_at(Step::Name(name), value, span)?;
                    }
                }
                _ => {}
            },
        }
        Ok(())
    })?;
    Ok(collector.leaves)
}
