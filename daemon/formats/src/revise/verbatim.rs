//! A text that stands on a line, such as a repository's URL in a command: replaced where it is.

use zeroize::Zeroizing;

use super::CannotRevise;
use crate::edit::Edit;

/// Replaces `old` on a line (counted from 1), or on a line that goes on from it or that it goes on
/// from. It has to stand there exactly once, and not as a part of a longer word.
pub fn verbatim(text: &str, line: u32, old: &str, new: &str) -> Result<Vec<Edit>, CannotRevise> {
    let absent = CannotRevise::Absent { line };
    let mut starts = vec![0];
    starts.extend(text.match_indices('\n').map(|(at, _)| at + 1));
    starts.push(text.len());
    let lines: Vec<_> = starts
        .windows(2)
        .map(|pair| &text[pair[0]..pair[1]])
        .collect();
    let at = (line as usize)
        .checked_sub(1)
        .filter(|at| *at < lines.len());
    let (Some(at), false) = (at, old.is_empty()) else {
        return Err(absent);
    };
    let first = (1..=at)
        .rev()
        .find(|at| !continues(lines[at - 1]))
        .unwrap_or(0);
    let last = (at..lines.len())
        .find(|at| !continues(lines[*at]))
        .unwrap_or(lines.len() - 1);
    let (from, to) = (starts[first], starts[last + 1]);
    // Overlapping ones count too.
    let mut places =
        (from..to).filter(|at| text.is_char_boundary(*at) && text[*at..to].starts_with(old));
    let place = places.next().ok_or(absent)?;
    let (before, behind) = (&text[..place], &text[place + old.len()..]);
    // What a key is made of holds no dot or colon; behind a server a path may begin.
    let path_begins = old.contains(['.', ':']) && behind.starts_with('/');
    let longer = (old.starts_with(is_word) && before.ends_with(is_word))
        || (old.ends_with(is_word) && behind.starts_with(is_word) && !path_begins);
    if places.next().is_some() || longer || new.contains(char::is_control) {
        return Err(CannotRevise::Ambiguous { line });
    }
    Ok(vec![Edit {
        span: place..place + old.len(),
        text: Zeroizing::new(new.to_owned()),
    }])
}

/// What ids, secrets and URLs are made of.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/+_.-".contains(c)
}

fn continues(line: &str) -> bool {
    let line = line.trim_end_matches(['\n', '\r']);
    (line.len() - line.trim_end_matches('\\').len()) % 2 == 1
}
