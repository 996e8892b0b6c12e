//! Property lists, as XML and binary. The binary reader is our own, since it has to give up on lists
//! that refer to themselves over and over before they take up memory, and to keep places.

use std::{borrow::Cow, ops::Range};

use super::{Collector, DEEPEST, Leaf, Step, error_at, xml};
use crate::ini::{ParseError, ParseErrorKind};

pub(super) const MAGIC: &[u8] = b"bplist00";
const TRAILER: usize = 32;
/// More objects than are visited of a binary list, however often they are referred to.
const MOST_VISITS: usize = 200_000;

/// An element that is open.
struct Open<'a> {
    element: &'a str,
    /// Of an array, the number of its next value.
    next: u32,
    /// Of a dictionary, whether a name awaits its value.
    named: bool,
    /// How long the path is outside of it.
    steps: usize,
}

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut collector = Collector::new(text);
    let mut open: Vec<Open<'_>> = Vec::new();
    xml::parts(text, |part| {
        match part {
            xml::Part::Open { name, at, .. } => {
                if open.len() == DEEPEST {
                    return Err(error_at(text, at, ParseErrorKind::TooDeep));
                }
                let steps = collector.path.len();
                match open.last_mut() {
                    Some(around) if around.element == "array" => {
                        collector.enter(Step::Index(around.next), at)?;
                        around.next += 1;
                    }
                    Some(around) if around.element == "dict" && name != "key" => {
                        // The name was entered when it ended.
                        let named = std::mem::take(&mut around.named);
                        open.push(Open {
                            element: name,
                            next: 0,
                            named: false,
                            steps: steps - usize::from(named),
                        });
                        return Ok(());
                    }
                    _ => {}
                }
                open.push(Open {
                    element: name,
                    next: 0,
                    named: false,
                    steps,
                });
            }
            xml::Part::Close { content } => {
                let Some(closed) = open.pop() else {
                    return Ok(());
                };
                let here = content.as_ref().map_or(0, |(_, span)| span.start);
                match (closed.element, content) {
                    ("key", content) => {
                        if let (Some(around), Some((name, _))) = (open.last_mut(), content) {
                            if around.named {
                                collector.leave();
                            }
                            around.named = true;
                            collector.enter(Step::Name(name), here)?;
                        }
                        return Ok(());
                    }
                    ("dict" | "array" | "plist", _) => {}
                    ("true" | "false", _) => {
                        collector.value(Cow::Borrowed(closed.element), here..here)?;
                    }
                    (_, Some((value, span))) => collector.value(value, span)?,
                    _ => {}
                }
                collector.path.truncate(closed.steps);
            }
        }
        Ok(())
    })?;
    Ok(collector.leaves)
}

/// What an object of a binary list is.
enum Object {
    Value(String, Range<usize>),
    /// The objects that it holds.
    Array(Vec<usize>),
    /// Names and values.
    Dictionary(Vec<usize>, Vec<usize>),
    Other,
}

struct Binary<'b> {
    bytes: &'b [u8],
    offsets: &'b [u8],
    offset_size: usize,
    reference_size: usize,
}

const DAMAGED: ParseError = ParseError {
    line: 1,
    kind: ParseErrorKind::Syntax,
};

pub(super) fn read_binary(bytes: &[u8]) -> Result<Vec<Leaf<'static>>, ParseError> {
    let (list, top) = Binary::of(bytes).ok_or(DAMAGED)?;
    let mut collector = Collector::new("");
    let mut visits = 0;
    // What is left to do, the next last: an object one step deeper, or the end of one.
    let mut tasks = vec![Some((None, top))];
    while let Some(task) = tasks.pop() {
        let Some((step, object)) = task else {
            collector.leave();
            continue;
        };
        visits += 1;
        if visits > MOST_VISITS {
            return Err(ParseError {
                line: 1,
                kind: ParseErrorKind::TooMany,
            });
        }
        if let Some(step) = step {
            collector.enter(step, 0)?;
            tasks.push(None);
        }
        match list.object(object).ok_or(DAMAGED)? {
            Object::Value(value, span) => collector.value(Cow::Owned(value), span)?,
            Object::Array(objects) => {
                let numbered = (0..).map(Step::Index).zip(objects);
                let mut steps: Vec<_> = numbered
                    .map(|(step, object)| Some((Some(step), object)))
                    .collect();
                steps.reverse();
                tasks.append(&mut steps);
            }
            Object::Dictionary(names, values) => {
                for (name, value) in names.into_iter().zip(values).rev() {
                    let Some(Object::Value(name, _)) = list.object(name) else {
                        continue;
                    };
                    tasks.push(Some((Some(Step::Name(Cow::Owned(name))), value)));
                }
            }
            Object::Other => {}
        }
        if tasks.len() > MOST_VISITS {
            return Err(ParseError {
                line: 1,
                kind: ParseErrorKind::TooMany,
            });
        }
    }
    Ok(collector.leaves)
}

impl<'b> Binary<'b> {
    /// The list, and which object is the outermost.
    fn of(bytes: &'b [u8]) -> Option<(Self, usize)> {
        let trailer = bytes.len().checked_sub(TRAILER)?;
        if !bytes.starts_with(MAGIC) || trailer < MAGIC.len() {
            return None;
        }
        let (content, trailer) = bytes.split_at(trailer);
        let offset_size = usize::from(trailer[6]);
        let reference_size = usize::from(trailer[7]);
        if !(1..=8).contains(&offset_size) || !(1..=8).contains(&reference_size) {
            return None;
        }
        let count = number(&trailer[8..16])?;
        let top = number(&trailer[16..24])?;
        let from = number(&trailer[24..32])?;
        let until = count.checked_mul(offset_size)?.checked_add(from)?;
        let list = Self {
            bytes: content,
            offsets: content.get(from..until)?,
            offset_size,
            reference_size,
        };
        Some((list, top))
    }

    fn object(&self, object: usize) -> Option<Object> {
        let from = object.checked_mul(self.offset_size)?;
        let offset = number(
            self.offsets
                .get(from..from.checked_add(self.offset_size)?)?,
        )?;
        let marker = *self.bytes.get(offset)?;
        let (kind, low) = (marker >> 4, marker & 15);
        let mut at = offset + 1;
        let value = |text: String, span| Some(Object::Value(text, span));
        match (kind, low) {
            (0, 8) => return value("false".into(), offset..offset + 1),
            (0, 9) => return value("true".into(), offset..offset + 1),
            (1, 0..=3) => {
                let span = at..at + (1 << low);
                let whole = number(self.bytes.get(span.clone())?)?;
                return value(whole.to_string(), span);
            }
            (5 | 6 | 10 | 13, _) => {}
            _ => return Some(Object::Other),
        }
        let mut count = usize::from(low);
        if low == 15 {
            let size = *self.bytes.get(at)?;
            if size >> 4 != 1 || size & 15 > 3 {
                return None;
            }
            let span = at + 1..at + 1 + (1 << (size & 15));
            count = number(self.bytes.get(span.clone())?)?;
            at = span.end;
        }
        match kind {
            5 => {
                let span = at..at.checked_add(count)?;
                let text = std::str::from_utf8(self.bytes.get(span.clone())?).ok()?;
                value(text.to_owned(), span)
            }
            6 => {
                let span = at..at.checked_add(count.checked_mul(2)?)?;
                let units = self.bytes.get(span.clone())?.chunks_exact(2);
                let units: Vec<_> = units
                    .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
                    .collect();
                value(String::from_utf16_lossy(&units), span)
            }
            10 => Some(Object::Array(self.references(at, count)?)),
            _ => {
                let values = at.checked_add(count.checked_mul(self.reference_size)?)?;
                Some(Object::Dictionary(
                    self.references(at, count)?,
                    self.references(values, count)?,
                ))
            }
        }
    }

    fn references(&self, from: usize, count: usize) -> Option<Vec<usize>> {
        let until = from.checked_add(count.checked_mul(self.reference_size)?)?;
        let raw = self.bytes.get(from..until)?;
        raw.chunks_exact(self.reference_size).map(number).collect()
    }
}

fn number(bytes: &[u8]) -> Option<usize> {
    let whole = bytes.iter().try_fold(0_u64, |whole, byte| {
        Some(whole.checked_mul(256)? | u64::from(*byte))
    })?;
    usize::try_from(whole).ok()
}
