//! The body of `DeleteObjects`: read strictly, so that the provider can read nothing in it that
//! was not checked here (gateway.md 37, threats.md B3). It must never repair or guess.

use bascule_domain::names::ObjectKey;
use quick_xml::{
    Reader,
    escape::resolve_predefined_entity,
    events::{BytesDecl, BytesStart, Event},
};

/// Bytes of such a body.
pub(crate) const LONGEST: usize = 2 * 1024 * 1024;
/// Objects in one request.
const MOST_OBJECTS: usize = 1000;

/// The body is not the plain schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the body of DeleteObjects is not the plain schema: one Delete with up to 1000 Objects, no comments, CDATA or entities of its own"
)]
pub(crate) struct BulkError;

#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Outside,
    Delete,
    Object,
    /// Inside an element that holds text.
    Text(Field),
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Field {
    Key,
    Quiet,
    /// `VersionId`, `ETag`, `LastModifiedTime` or `Size`.
    Other,
}

/// The keys that the body names, in order.
pub(crate) fn keys(body: &[u8]) -> Result<Vec<ObjectKey>, BulkError> {
    let text = std::str::from_utf8(body).map_err(|_| BulkError)?;
    // Not even in an attribute, where this reader would pass it over and another might not.
    if text.contains("<!") {
        return Err(BulkError);
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_comments = true;
    let mut keys = Vec::new();
    let mut at = At::Outside;
    let mut key: Option<ObjectKey> = None;
    let mut content = String::new();
    let mut first = true;
    loop {
        let first = std::mem::take(&mut first);
        match reader.read_event().map_err(|_| BulkError)? {
            Event::Decl(declaration) if first => refuse_other_encodings(&declaration)?,
            Event::Start(tag) => {
                let name = tag.name();
                let plain = tag.attributes().next().is_none();
                at = match (at, name.as_ref()) {
                    (At::Outside, "Delete") => {
                        only_default_namespace(&tag)?;
                        At::Delete
                    }
                    (At::Delete, "Object") if plain => {
                        key = None;
                        At::Object
                    }
                    (At::Delete, "Quiet") if plain => At::Text(Field::Quiet),
                    (At::Object, "Key") if plain && key.is_none() => At::Text(Field::Key),
                    (At::Object, "VersionId" | "ETag" | "LastModifiedTime" | "Size") if plain => {
                        At::Text(Field::Other)
                    }
                    _ => return Err(BulkError),
                };
                content.clear();
            }
            Event::End(_) => {
                at = match at {
                    At::Text(Field::Key) => {
                        key = Some(content.parse().map_err(|_| BulkError)?);
                        At::Object
                    }
                    At::Text(Field::Other) => At::Object,
                    At::Text(Field::Quiet) => At::Delete,
                    At::Object => {
                        keys.push(key.take().ok_or(BulkError)?);
                        At::Delete
                    }
                    At::Delete => At::End,
                    At::Outside | At::End => return Err(BulkError),
                };
            }
            // An empty element could only be a field without value, which means nothing here.
            Event::Empty(tag) => match (at, tag.name().as_ref()) {
                (At::Object, "VersionId" | "ETag") if tag.attributes().next().is_none() => {}
                _ => return Err(BulkError),
            },
            Event::Text(piece) => {
                let piece = piece.xml10_content();
                match at {
                    At::Text(_) => content.push_str(&piece),
                    _ if piece.chars().all(|c| c.is_ascii_whitespace()) => {}
                    _ => return Err(BulkError),
                }
            }
            Event::GeneralRef(reference) => {
                let At::Text(_) = at else {
                    return Err(BulkError);
                };
                match reference.resolve_char_ref().map_err(|_| BulkError)? {
                    Some(character) => content.push(character),
                    None => {
                        let name = reference.into_inner();
                        content.push_str(resolve_predefined_entity(&name).ok_or(BulkError)?);
                    }
                }
            }
            Event::Eof if at == At::End && !keys.is_empty() => return Ok(keys),
            Event::Decl(_)
            | Event::Eof
            | Event::CData(_)
            | Event::Comment(_)
            | Event::PI(_)
            | Event::DocType(_) => return Err(BulkError),
        }
        if keys.len() > MOST_OBJECTS {
            return Err(BulkError);
        }
    }
}

/// What reads the same bytes in another encoding, or by the line ends of XML 1.1, reads other keys.
fn refuse_other_encodings(declaration: &BytesDecl<'_>) -> Result<(), BulkError> {
    let version = declaration.version().map_err(|_| BulkError)?;
    let encoding = declaration.encoding().transpose().map_err(|_| BulkError)?;
    let utf8 = encoding.is_none_or(|name| name.eq_ignore_ascii_case("utf-8"));
    if version == "1.0" && utf8 {
        Ok(())
    } else {
        Err(BulkError)
    }
}

fn only_default_namespace(tag: &BytesStart<'_>) -> Result<(), BulkError> {
    for attribute in tag.attributes() {
        let attribute = attribute.map_err(|_| BulkError)?;
        if attribute.key.as_ref() != "xmlns" || attribute.value.contains('<') {
            return Err(BulkError);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b3_marks_hidden_in_an_attribute_are_refused() {
        let body = |namespace: &str| {
            format!("<Delete xmlns=\"{namespace}\"><Object><Key>a</Key></Object></Delete>")
        };
        assert!(keys(body("http://s3.amazonaws.com/doc/2006-03-01/").as_bytes()).is_ok());
        for hidden in ["<!-- ", "<![CDATA[", "x<Object>", "<?x?>"] {
            assert_eq!(keys(body(hidden).as_bytes()), Err(BulkError), "{hidden}");
        }
    }
}
