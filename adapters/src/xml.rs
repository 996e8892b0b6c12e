//! Reads the XML answers of S3 servers: element by element, without a tree, and without anything
//! that could grow from a small input (no document types, no entities but the five of XML).

use quick_xml::{Reader, events::Event};

/// The bytes are not the XML we asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not well-formed XML of the expected shape")]
pub(crate) struct XmlError;

/// No S3 answer nests deeper.
const DEPTH_LIMIT: usize = 16;
/// Longer than any element of a listing may be: a key has 1024 bytes, percent-encoded 3072.
const TEXT_LIMIT: usize = 64 * 1024;

/// Calls `leave` at the end of each element with the path of names that leads to it (without
/// namespace prefixes) and the text directly inside it. Fails unless the root is `root` and the
/// document is whole.
pub(crate) fn walk(
    body: &[u8],
    root: &str,
    leave: impl FnMut(&[&str], &str) -> Result<(), XmlError>,
) -> Result<(), XmlError> {
    walk_from(body, Some(root), leave)
}

/// [`walk`], whatever the root is called.
pub(crate) fn walk_any(
    body: &[u8],
    leave: impl FnMut(&[&str], &str) -> Result<(), XmlError>,
) -> Result<(), XmlError> {
    walk_from(body, None, leave)
}

fn walk_from(
    body: &[u8],
    root: Option<&str>,
    mut leave: impl FnMut(&[&str], &str) -> Result<(), XmlError>,
) -> Result<(), XmlError> {
    let text = std::str::from_utf8(body).map_err(|_| XmlError)?;
    let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
    let mut open = Open::default();
    loop {
        match reader.read_event().map_err(|_| XmlError)? {
            Event::Start(start) => open.enter(root, start.local_name().as_ref())?,
            Event::Empty(start) => {
                open.enter(root, start.local_name().as_ref())?;
                open.close(&mut leave)?;
            }
            Event::End(_) => open.close(&mut leave)?,
            Event::Text(part) => open.append(&part.xml10_content())?,
            Event::CData(part) => open.append(&part.xml10_content())?,
            Event::GeneralRef(reference) => {
                let mut one = [0; 4];
                let resolved = match reference.resolve_char_ref().map_err(|_| XmlError)? {
                    Some(character) => &*character.encode_utf8(&mut one),
                    None => {
                        quick_xml::escape::resolve_predefined_entity(&reference.xml10_content())
                            .ok_or(XmlError)?
                    }
                };
                open.append(resolved)?;
            }
            Event::DocType(_) => return Err(XmlError),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof if open.depth == 0 && open.seen_root => return Ok(()),
            Event::Eof => return Err(XmlError),
        }
    }
}

/// The elements that are open. A listing has millions, so what they are written into is used again.
#[derive(Default)]
struct Open {
    elements: Vec<(String, String)>,
    depth: usize,
    seen_root: bool,
}

impl Open {
    fn enter(&mut self, root: Option<&str>, name: &str) -> Result<(), XmlError> {
        if self.depth == 0 {
            if self.seen_root || root.is_some_and(|root| name != root) {
                return Err(XmlError);
            }
            self.seen_root = true;
        }
        if self.depth == DEPTH_LIMIT {
            return Err(XmlError);
        }
        match self.elements.get_mut(self.depth) {
            Some((used, text)) => {
                used.clear();
                used.push_str(name);
                text.clear();
            }
            None => self.elements.push((name.to_owned(), String::new())),
        }
        self.depth += 1;
        Ok(())
    }

    fn close(
        &mut self,
        leave: &mut impl FnMut(&[&str], &str) -> Result<(), XmlError>,
    ) -> Result<(), XmlError> {
        let open = &self.elements[..self.depth];
        let (_, text) = open.last().ok_or(XmlError)?;
        let mut path = [""; DEPTH_LIMIT];
        for (place, (name, _)) in path.iter_mut().zip(open) {
            *place = name;
        }
        leave(&path[..self.depth], text)?;
        self.depth -= 1;
        Ok(())
    }

    fn append(&mut self, part: &str) -> Result<(), XmlError> {
        match self.elements[..self.depth].last_mut() {
            Some((_, text)) if text.len() + part.len() <= TEXT_LIMIT => {
                text.push_str(part);
                Ok(())
            }
            None if part.trim().is_empty() => Ok(()),
            _ => Err(XmlError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(body: &str) -> Result<Vec<(String, String)>, XmlError> {
        let mut found = Vec::new();
        walk(body.as_bytes(), "R", |path, text| {
            found.push((path.join("/"), text.to_owned()));
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn text_is_put_together_from_its_pieces() {
        let found = leaves("<?xml version=\"1.0\"?>\n<x:R xmlns:x=\"u\"><A>a&amp;b&#x20;<![CDATA[<c>]]></A><B/></x:R>\n").unwrap();
        assert_eq!(found[0], ("R/A".into(), "a&b <c>".into()));
        assert_eq!(found[1], ("R/B".into(), String::new()));
    }

    #[test]
    fn hostile_documents_are_refused() {
        let deep = format!("<R>{}{}</R>", "<a>".repeat(20), "</a>".repeat(20));
        let long = format!("<R><a>{}</a></R>", "x".repeat(TEXT_LIMIT + 1));
        for body in [
            "",
            "plain",
            "<R>",
            "<R></S>",
            "<S></S>",
            "<R></R><R></R>",
            "<R></R>tail",
            "<!DOCTYPE R [<!ENTITY a \"b\">]><R>&a;</R>",
            "<R>&unknown;</R>",
            "<R>&#0;</R>",
            "<R>&#xFFFFFFFF;</R>",
            "<html><body>R</body></html>",
            &deep,
            &long,
        ] {
            assert_eq!(
                leaves(body),
                Err(XmlError),
                "{}",
                &body[..body.len().min(80)]
            );
        }
    }
}
