//! rclone's dialect.

use super::{Entry, Line, ParseError, ParseErrorKind, Section, lines};

/// Values before the first section belong to it.
const DEFAULT: &str = "DEFAULT";

pub(super) fn parse(text: &str) -> Result<Vec<Section<'_>>, ParseError> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in lines(text) {
        if line.is_blank_or_comment() {
            continue;
        }
        if line.text.len() >= 2 && line.text.starts_with('[') && line.text.ends_with(']') {
            let (name, name_span) = line.part(1, line.text.len() - 1);
            sections.push(Section {
                name,
                name_span,
                line: line.number,
                entries: Vec::new(),
            });
            continue;
        }
        let entry = entry(&line)?;
        match sections.last_mut() {
            Some(section) if section.name.is_empty() => {
                return Err(line.error(ParseErrorKind::BlankSection));
            }
            Some(section) => section.entries.push(entry),
            None => sections.push(Section {
                name: DEFAULT,
                name_span: 0..0,
                line: 0,
                entries: vec![entry],
            }),
        }
    }
    Ok(sections)
}

fn entry<'a>(line: &Line<'a>) -> Result<Entry<'a>, ParseError> {
    let mut entry = match ["\"\"\"", "\"", "`"]
        .iter()
        .find(|quote| line.text.starts_with(**quote))
    {
        Some(quote) => {
            let inside = &line.text[quote.len()..];
            let end = inside
                .find(quote)
                .ok_or_else(|| line.error(ParseErrorKind::Quote))?
                + quote.len();
            let separator = line.text[end..]
                .find(['=', ':'])
                .ok_or_else(|| line.error(ParseErrorKind::Line))?
                + end;
            let mut entry = line.entry(separator);
            entry.key = &line.text[quote.len()..end];
            entry.key_span = line.start + quote.len()..line.start + end;
            entry
        }
        None => match line.text.find(['=', ':']) {
            Some(separator) if separator > 0 => line.entry(separator),
            _ => return Err(line.error(ParseErrorKind::Line)),
        },
    };
    unquote(&mut entry).map_err(|kind| line.error(kind))?;
    Ok(entry)
}

fn unquote(entry: &mut Entry<'_>) -> Result<(), ParseErrorKind> {
    let value = entry.value;
    let quote = if value.len() >= 2 && value.starts_with('`') {
        "`"
    } else if value.len() >= 6 && value.starts_with("\"\"\"") {
        "\"\"\""
    } else {
        return Ok(());
    };
    let end = value[quote.len()..]
        .rfind(quote)
        .ok_or(ParseErrorKind::Quote)?
        + quote.len();
    entry.value = &value[quote.len()..end];
    let start = entry.value_span.start;
    entry.value_span = start + quote.len()..start + end;
    Ok(())
}
