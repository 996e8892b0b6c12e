//! TOML. A name that is set twice is no error here.

use std::{borrow::Cow, collections::HashMap};

use toml_parser::{
    ErrorSink, Source, Span,
    decoder::Encoding,
    parser::{EventReceiver, parse_document},
};

use super::{Collector, DEEPEST, Leaf, Step};
use crate::ini::{ParseError, ParseErrorKind};

/// More arrays of tables than any tool's configuration has.
const MOST_ARRAYS: usize = 10_000;

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let source = Source::new(text);
    let tokens = source.lex().into_vec();
    let mut reader = Reader {
        source,
        collector: Collector::new(text),
        of_array: false,
        names: Vec::new(),
        arrays: HashMap::new(),
        open: vec![Open::default()],
        failed: None,
    };
    let mut wrong: Option<toml_parser::ParseError> = None;
    parse_document(&tokens, &mut reader, &mut wrong);
    if let Some(error) = reader.failed {
        return Err(error);
    }
    if let Some(error) = wrong {
        let at = error.unexpected().or_else(|| error.context());
        let at = at.map_or(0, |span| span.start());
        return Err(reader.collector.error(at, ParseErrorKind::Syntax));
    }
    Ok(reader.collector.leaves)
}

/// A table or an array whose values are being read.
#[derive(Default)]
struct Open {
    /// How long the path is there.
    steps: usize,
    /// Of an array, the number of its next value.
    next: Option<u32>,
}

struct Reader<'a> {
    source: Source<'a>,
    collector: Collector<'a>,
    /// Whether the header that is being read is one of an array of tables.
    of_array: bool,
    /// Of the header or the key that is being read.
    names: Vec<Step<'a>>,
    /// Arrays of tables, and the number of the present table.
    arrays: HashMap<Vec<Step<'a>>, u32>,
    open: Vec<Open>,
    failed: Option<ParseError>,
}

impl<'a> Reader<'a> {
    fn enter(&mut self, step: Step<'a>, at: usize) {
        if let Err(error) = self.collector.enter(step, at) {
            self.failed.get_or_insert(error);
        }
    }

    fn header(&mut self, at: usize) {
        self.collector.path.clear();
        let names = std::mem::take(&mut self.names);
        let count = names.len();
        for (name, number) in names.into_iter().zip(1..) {
            self.enter(name, at);
            if let Some(table) = self.table_of_array(self.of_array && number == count) {
                self.enter(Step::Index(table), at);
            }
        }
        let steps = self.collector.path.len();
        self.open = vec![Open { steps, next: None }];
    }

    /// The number of the present table, if the present path is an array of tables, or if this
    /// begins one.
    fn table_of_array(&mut self, begins: bool) -> Option<u32> {
        if let Some(number) = self.arrays.get_mut(&self.collector.path) {
            *number += u32::from(begins);
            return Some(*number);
        }
        if !begins {
            return None;
        }
        if self.arrays.len() == MOST_ARRAYS {
            let error = self.collector.error(0, ParseErrorKind::TooMany);
            self.failed.get_or_insert(error);
            return None;
        }
        self.arrays.insert(self.collector.path.clone(), 0);
        Some(0)
    }

    fn begin_value(&mut self, at: usize) {
        let next = self.open.last_mut().and_then(|open| open.next.as_mut());
        if let Some(next) = next {
            let step = Step::Index(*next);
            *next += 1;
            self.enter(step, at);
        }
    }

    fn end_value(&mut self) {
        let steps = self.open.last().map_or(0, |open| open.steps);
        self.collector.path.truncate(steps);
    }

    /// Opens what holds further values; `false` when that is too deep, which bounds the parser.
    fn open(&mut self, at: usize, next: Option<u32>) -> bool {
        self.begin_value(at);
        let steps = self.collector.path.len();
        self.open.push(Open { steps, next });
        if self.open.len() <= DEEPEST {
            return true;
        }
        let error = self.collector.error(at, ParseErrorKind::TooDeep);
        self.failed.get_or_insert(error);
        false
    }

    fn close(&mut self) {
        if self.open.len() > 1 {
            self.open.pop();
        }
        self.end_value();
    }
}

impl EventReceiver for Reader<'_> {
    fn std_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.of_array = false;
        self.names.clear();
    }

    fn std_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.header(span.start());
    }

    fn array_table_open(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.of_array = true;
        self.names.clear();
    }

    fn array_table_close(&mut self, span: Span, _: &mut dyn ErrorSink) {
        self.header(span.start());
    }

    fn inline_table_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open(span.start(), None)
    }

    fn inline_table_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn array_open(&mut self, span: Span, _: &mut dyn ErrorSink) -> bool {
        self.open(span.start(), Some(0))
    }

    fn array_close(&mut self, _: Span, _: &mut dyn ErrorSink) {
        self.close();
    }

    fn simple_key(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else {
            return;
        };
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        let mut name = Cow::Borrowed("");
        raw.decode_key(&mut name, error);
        // What is longer than a path may be is refused when it is entered.
        if self.names.len() <= DEEPEST {
            self.names.push(Step::Name(name));
        }
    }

    fn key_val_sep(&mut self, span: Span, _: &mut dyn ErrorSink) {
        for name in std::mem::take(&mut self.names) {
            self.enter(name, span.start());
        }
    }

    fn scalar(&mut self, span: Span, encoding: Option<Encoding>, error: &mut dyn ErrorSink) {
        let Some(raw) = self.source.get(span) else {
            return;
        };
        let raw = toml_parser::Raw::new_unchecked(raw.as_str(), encoding, span);
        let mut value = Cow::Borrowed("");
        let _kind = raw.decode_scalar(&mut value, error);
        let quotes = match encoding {
            Some(Encoding::BasicString | Encoding::LiteralString) => 1,
            Some(Encoding::MlBasicString | Encoding::MlLiteralString) => 3,
            None => 0,
        };
        let end = span.end().saturating_sub(quotes);
        let start = (span.start() + quotes).min(end);
        self.begin_value(span.start());
        let span = match &value {
            // A line break behind the opening quotes is not part of the value.
            Cow::Borrowed(part) if !part.is_empty() => self.collector.span_of(part),
            _ => start..end,
        };
        if let Err(error) = self.collector.value(value, span) {
            self.failed.get_or_insert(error);
        }
        self.end_value();
    }
}
