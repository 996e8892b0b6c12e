//! Changes of a text by place: what lies outside the places stays as it is, byte for byte.

use std::{fmt, ops::Range};

use zeroize::Zeroizing;

/// A place and what stands there afterwards. An empty place is an insertion.
#[derive(Clone, PartialEq, Eq)]
pub struct Edit {
    /// Bytes of the text as it was.
    pub span: Range<usize>,
    /// What replaces them; may be a secret.
    pub text: Zeroizing<String>,
}

/// The places do not lie in the text one after the other, or one cuts a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the changes don't fit the text")]
pub struct Misplaced;

/// The text with every change made, the changes in the order of their places.
pub fn apply(text: &str, edits: &[Edit]) -> Result<Zeroizing<String>, Misplaced> {
    let added: usize = edits.iter().map(|edit| edit.text.len()).sum();
    // One allocation, so that no copy of a secret is left behind.
    let mut changed = Zeroizing::new(String::with_capacity(text.len() + added));
    let mut done = 0;
    for edit in edits {
        changed.push_str(text.get(done..edit.span.start).ok_or(Misplaced)?);
        text.get(edit.span.clone()).ok_or(Misplaced)?;
        changed.push_str(&edit.text);
        done = edit.span.end;
    }
    changed.push_str(text.get(done..).ok_or(Misplaced)?);
    Ok(changed)
}

/// Makes one more change, of the text as it is after the others: it becomes one of them, with its place
/// in the text that they began with. Where it touches others it becomes one with them.
pub(crate) fn then(edits: &mut Vec<Edit>, new: &Edit) {
    // How many bytes the changes before have added and taken away.
    let (mut added, mut taken) = (0, 0);
    let mut touched = 0..0;
    let mut span = None;
    let (mut head, mut tail) = (Zeroizing::default(), Zeroizing::default());
    for (index, edit) in edits.iter().enumerate() {
        let start = edit.span.start + added - taken;
        let end = start + edit.text.len();
        let within = start <= new.span.start && new.span.end <= end;
        if within || (start < new.span.end && new.span.start < end) {
            let from = new.span.start.max(start) - start;
            let to = new.span.end.min(end) - start;
            if span.is_none() {
                touched = index..index;
                head = Zeroizing::new(edit.text[..from].to_owned());
                let before = start.saturating_sub(new.span.start);
                span = Some(edit.span.start - before..0);
            }
            touched.end = index + 1;
            tail = Zeroizing::new(edit.text[to..].to_owned());
            let behind = new.span.end.saturating_sub(end);
            span = span.map(|span| span.start..edit.span.end + behind);
            if within {
                break;
            }
        } else if new.span.end <= start {
            break;
        }
        if span.is_none() {
            touched = index + 1..index + 1;
        }
        added += edit.text.len();
        taken += edit.span.len();
    }
    let apart = || new.span.start + taken - added..new.span.end + taken - added;
    let span = span.unwrap_or_else(apart);
    let parts: [&str; 3] = [&head, &new.text, &tail];
    let length = parts.iter().map(|part| part.len()).sum();
    let mut text = Zeroizing::new(String::with_capacity(length));
    for part in parts {
        text.push_str(part);
    }
    edits.splice(touched, [Edit { span, text }]);
}

impl fmt::Debug for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edit")
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edit(span: Range<usize>, text: &str) -> Edit {
        Edit {
            span,
            text: Zeroizing::new(text.to_owned()),
        }
    }

    #[test]
    fn only_the_places_change() {
        let edits = [edit(0..1, "A"), edit(2..2, "+"), edit(3..5, "")];
        assert_eq!(apply("abcde", &edits).unwrap().as_str(), "Ab+c");
    }

    #[test]
    fn places_that_overlap_or_lie_outside_or_cut_a_character_are_refused() {
        for edits in [
            vec![edit(1..3, ""), edit(2..4, "")],
            vec![edit(2..3, ""), edit(0..1, "")],
            vec![edit(7..7, "")],
            vec![edit(1..2, "")],
        ] {
            assert_eq!(apply("ünf..", &edits), Err(Misplaced), "{edits:?}");
        }
    }

    proptest! {
        #[test]
        fn changes_one_after_the_other_are_changes_of_the_first_text(
            text in "[a-z]{0,20}",
            changes in proptest::collection::vec((0_usize..30, 0_usize..6, "[A-Z]{0,4}"), 0..8),
        ) {
            let (mut now, mut edits) = (Zeroizing::new(text.clone()), Vec::new());
            for (from, length, new) in &changes {
                let start = (*from).min(now.len());
                let change = edit(start..(start + length).min(now.len()), new);
                now = apply(&now, std::slice::from_ref(&change)).unwrap();
                then(&mut edits, &change);
            }
            prop_assert_eq!(apply(&text, &edits), Ok(now));
        }

        #[test]
        fn an_edit_can_be_undone(text in "\\PC{0,40}", new in "\\PC{0,20}", from in 0_usize..60, len in 0_usize..20) {
            let span = from.min(text.len())..(from + len).min(text.len());
            prop_assume!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
            let old = text[span.clone()].to_owned();
            let changed = apply(&text, &[edit(span.clone(), &new)]).unwrap();
            let back = edit(span.start..span.start + new.len(), &old);
            let undone = apply(&changed, &[back]).unwrap();
            prop_assert_eq!(undone.as_str(), text);
        }
    }
}
