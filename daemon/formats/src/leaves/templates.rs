//! Templates in a file (Go's, Jinja's): what stands in their marks is hidden from the parser without
//! moving anything else.

use super::Leaf;

/// Marks and what ends them.
const MARKS: [(&str, &str); 3] = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];

/// The text with every template replaced by as many bytes: blanks where templates have their line to
/// themselves, `_` elsewhere. `None` if there is none.
pub(super) fn masked(text: &str) -> Option<String> {
    let mut masked = String::with_capacity(text.len());
    // Whether something else stands before on the line.
    let mut beside = false;
    let mut at = 0;
    while let Some((from, end)) = next(text, at) {
        let between = &text[at..from];
        masked.push_str(between);
        let (broken, line) = match between.rsplit_once('\n') {
            Some((_, line)) => (true, line),
            None => (false, between),
        };
        beside = !line.trim().is_empty() || (beside && !broken);
        let after = text[end..].split(['\n', '{']).next().unwrap_or_default();
        let fill = if beside || !after.trim().is_empty() {
            '_'
        } else {
            ' '
        };
        for c in text[from..end].chars() {
            let fill = if c == '\n' { '\n' } else { fill };
            masked.extend(std::iter::repeat_n(fill, c.len_utf8()));
        }
        at = end;
    }
    masked.push_str(&text[at..]);
    (at > 0).then_some(masked)
}

/// The next template behind a place.
fn next(text: &str, mut from: usize) -> Option<(usize, usize)> {
    loop {
        let at = text[from..].find('{')? + from;
        let mark = MARKS
            .iter()
            .find(|(opens, _)| text[at..].starts_with(opens));
        let Some((_, ends)) = mark else {
            from = at + 1;
            continue;
        };
        let end = text[at + 2..].find(ends)? + at + 2 + ends.len();
        return Some((at, end));
    }
}

/// A leaf of the masked text as one of the text itself; `None` if a template is part of its value.
pub(super) fn unmasked<'a>(leaf: &Leaf<'_>, text: &'a str) -> Option<Leaf<'a>> {
    let raw = text.get(leaf.span.clone())?;
    if MARKS.iter().any(|(opens, _)| raw.contains(opens)) {
        return None;
    }
    let path = leaf.path.iter().map(|step| match step {
        super::Step::Name(name) => super::Step::Name(name.to_string().into()),
        super::Step::Index(index) => super::Step::Index(*index),
    });
    Some(Leaf {
        path: path.collect(),
        value: leaf.value.to_string().into(),
        span: leaf.span.clone(),
        line: leaf.line,
        document: leaf.document,
    })
}
