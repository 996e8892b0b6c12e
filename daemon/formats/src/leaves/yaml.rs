//! YAML: block and flow style, several documents, anchors and aliases. Merged mappings (`<<`) stand
//! before a file's own values, so that these count.

use std::{borrow::Cow, collections::HashMap, ops::Range};

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::{Collector, Leaf, MOST_LEAVES, Step};
use crate::ini::{ParseError, ParseErrorKind};

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let bytes = Bytes::of(text);
    let mut reader = Reader {
        collector: Collector::new(text),
        frames: Vec::new(),
        anchors: HashMap::new(),
        merged: Vec::new(),
        copied: 0,
    };
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| ParseError {
            line: u32::try_from(error.marker().line()).unwrap_or(u32::MAX),
            kind: ParseErrorKind::Syntax,
        })?;
        let span = bytes.at(span.start.index())..bytes.at(span.end.index());
        if matches!(event, Event::DocumentStart(_)) {
            reader.collector.document = documents;
            documents += 1;
        } else {
            reader.event(event, span)?;
        }
    }
    let mut leaves = reader.merged;
    leaves.append(&mut reader.collector.leaves);
    Ok(leaves)
}

/// Where each character stands.
enum Bytes {
    /// Every character is one byte.
    Ascii {
        len: usize,
    },
    Mapped(Vec<u32>),
}

impl Bytes {
    fn of(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii { len: text.len() };
        }
        let starts = text.char_indices().map(|(at, _)| at);
        let ends = starts.chain([text.len()]);
        Self::Mapped(ends.filter_map(|at| u32::try_from(at).ok()).collect())
    }

    fn at(&self, character: usize) -> usize {
        match self {
            Self::Ascii { len } => character.min(*len),
            Self::Mapped(starts) => starts
                .get(character)
                .or(starts.last())
                .map_or(0, |at| *at as usize),
        }
    }
}

enum Frame {
    /// A mapping; whether its present entry's name was read.
    Mapping {
        named: bool,
        anchor: Anchor,
    },
    Sequence {
        next: u32,
        anchor: Anchor,
    },
    /// A name that is itself a mapping or a sequence, at any depth within.
    Name {
        depth: usize,
    },
}

/// What is remembered for aliases: which, and from which leaf on, with how many steps before it.
#[derive(Clone, Copy)]
struct Anchor {
    id: usize,
    from: usize,
    steps: usize,
}

struct Reader<'a> {
    collector: Collector<'a>,
    frames: Vec<Frame>,
    /// Which leaves an anchor stands for, and how many steps of their paths stand before it.
    anchors: HashMap<usize, (Range<usize>, usize)>,
    merged: Vec<Leaf<'a>>,
    copied: usize,
}

impl<'a> Reader<'a> {
    fn event(&mut self, event: Event<'a>, span: Range<usize>) -> Result<(), ParseError> {
        if let Some(Frame::Name { depth }) = self.frames.last_mut() {
            match event {
                Event::SequenceStart(..) | Event::MappingStart(..) => *depth += 1,
                Event::SequenceEnd | Event::MappingEnd => *depth -= 1,
                _ => {}
            }
            if *depth == 0 {
                self.frames.pop();
                return self.name(Cow::Borrowed("?"), span.start);
            }
            return Ok(());
        }
        let names = matches!(
            self.frames.last(),
            Some(Frame::Mapping { named: false, .. })
        );
        match event {
            Event::Scalar(value, ..) if names => self.name(value, span.start),
            Event::Alias(_) if names => self.name(Cow::Borrowed("?"), span.start),
            Event::SequenceStart(..) | Event::MappingStart(..) if names => {
                self.frames.push(Frame::Name { depth: 1 });
                Ok(())
            }
            Event::Scalar(value, style, anchor, _) => {
                self.begin_value(span.start)?;
                let anchor = self.anchor(anchor);
                let span = self.inner(span, style);
                self.collector.value(value, span)?;
                self.remember(anchor);
                self.end_value();
                Ok(())
            }
            Event::Alias(id) => {
                self.begin_value(span.start)?;
                self.alias(id, span.start)?;
                self.end_value();
                Ok(())
            }
            Event::MappingStart(anchor, _) => {
                self.begin_value(span.start)?;
                let anchor = self.anchor(anchor);
                self.frames.push(Frame::Mapping {
                    named: false,
                    anchor,
                });
                Ok(())
            }
            Event::SequenceStart(anchor, _) => {
                self.begin_value(span.start)?;
                let anchor = self.anchor(anchor);
                self.frames.push(Frame::Sequence { next: 0, anchor });
                Ok(())
            }
            Event::MappingEnd | Event::SequenceEnd => {
                if let Some(Frame::Mapping { anchor, .. } | Frame::Sequence { anchor, .. }) =
                    self.frames.pop()
                {
                    self.remember(anchor);
                }
                self.end_value();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn name(&mut self, name: Cow<'a, str>, at: usize) -> Result<(), ParseError> {
        if let Some(Frame::Mapping { named, .. }) = self.frames.last_mut() {
            *named = true;
        }
        self.collector.enter(Step::Name(name), at)
    }

    fn begin_value(&mut self, at: usize) -> Result<(), ParseError> {
        if let Some(Frame::Sequence { next, .. }) = self.frames.last_mut() {
            let step = Step::Index(*next);
            *next += 1;
            self.collector.enter(step, at)?;
        }
        Ok(())
    }

    fn end_value(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            if let Frame::Mapping { named, .. } = frame {
                *named = false;
            }
            self.collector.leave();
        }
    }

    /// Where the value's text stands, without quotes. The parser's own span goes on over a comment.
    fn inner(&self, span: Range<usize>, style: ScalarStyle) -> Range<usize> {
        let quote = match style {
            ScalarStyle::SingleQuoted => b'\'',
            ScalarStyle::DoubleQuoted => b'"',
            _ => return span,
        };
        let bytes = self.collector.text.as_bytes().get(span.clone());
        let inside = bytes.and_then(|bytes| bytes.strip_prefix(&[quote]));
        let Some(inside) = inside else {
            return span;
        };
        let mut length = 0;
        while let Some(byte) = inside.get(length) {
            let doubled = quote == b'\'' && inside.get(length + 1) == Some(&quote);
            match *byte {
                b'\\' if quote == b'"' => length += 2,
                byte if byte == quote && doubled => length += 2,
                byte if byte == quote => break,
                _ => length += 1,
            }
        }
        let start = span.start + 1;
        start..start + length.min(inside.len())
    }

    fn anchor(&self, id: usize) -> Anchor {
        Anchor {
            id,
            from: self.collector.leaves.len(),
            steps: self.collector.path.len(),
        }
    }

    fn remember(&mut self, anchor: Anchor) {
        // 0 is none.
        if anchor.id != 0 {
            let leaves = anchor.from..self.collector.leaves.len();
            self.anchors.insert(anchor.id, (leaves, anchor.steps));
        }
    }

    /// The leaves of an anchor once more, at the present path.
    fn alias(&mut self, id: usize, at: usize) -> Result<(), ParseError> {
        let Some((leaves, steps)) = self.anchors.get(&id).cloned() else {
            return Ok(());
        };
        let merges = self.collector.path.last() == Some(&Step::Name(Cow::Borrowed("<<")));
        let kept = self.collector.path.len() - usize::from(merges);
        self.copied += leaves.len();
        if self.copied > MOST_LEAVES {
            return Err(self.collector.error(at, ParseErrorKind::TooMany));
        }
        for index in leaves {
            let mut leaf = self.collector.leaves[index].clone();
            let below = leaf.path.split_off(steps.min(leaf.path.len()));
            leaf.path = self.collector.path[..kept].to_vec();
            leaf.path.extend(below);
            leaf.document = self.collector.document;
            if leaf.path.len() > super::DEEPEST {
                return Err(self.collector.error(at, ParseErrorKind::TooDeep));
            }
            if merges {
                self.collector.steps += leaf.path.len();
                if self.collector.steps > super::MOST_STEPS {
                    return Err(self.collector.error(at, ParseErrorKind::TooMany));
                }
                self.merged.push(leaf);
            } else {
                self.collector.push(leaf)?;
            }
        }
        Ok(())
    }
}
