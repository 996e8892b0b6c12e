//! JSON with comments and trailing commas.

use jsonc_parser::{
    CollectOptions, ParseOptions,
    ast::{ObjectPropName, Value},
    common::Ranged,
    parse_to_ast,
};

use super::{Collector, Leaf, Step};
use crate::ini::{ParseError, ParseErrorKind};

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    // The parser takes a byte order mark for a word; spans stay those of the whole text.
    let mark = text.len() - text.trim_start_matches('\u{feff}').len();
    let mut collector = Collector::new(text);
    let parsed = parse_to_ast(
        &text[mark..],
        &CollectOptions::default(),
        &ParseOptions::default(),
    )
    .map_err(|error| collector.error(mark + error.range().start, ParseErrorKind::Syntax))?;
    // The parser refuses what nests deeper than 512, so its own recursion is bounded.
    if let Some(value) = parsed.value {
        walk(value, mark, &mut collector)?;
    }
    Ok(std::mem::take(&mut collector.leaves))
}

/// What is left to do, the next last.
enum Task<'a> {
    Value(Value<'a>),
    Enter(Step<'a>, Value<'a>),
    Leave,
}

fn walk<'a>(root: Value<'a>, mark: usize, collector: &mut Collector<'a>) -> Result<(), ParseError> {
    let mut tasks = vec![Task::Value(root)];
    while let Some(task) = tasks.pop() {
        match task {
            Task::Leave => collector.leave(),
            Task::Enter(step, value) => {
                collector.enter(step, mark + value.range().start)?;
                tasks.push(Task::Leave);
                tasks.push(Task::Value(value));
            }
            Task::Value(Value::Object(object)) => {
                tasks.extend(object.properties.into_iter().rev().map(|property| {
                    let name = match property.name {
                        ObjectPropName::String(name) => name.value,
                        ObjectPropName::Word(name) => name.value.into(),
                    };
                    Task::Enter(Step::Name(name), property.value)
                }));
            }
            Task::Value(Value::Array(array)) => {
                let numbered: Vec<_> = (0..).map(Step::Index).zip(array.elements).collect();
                let tasks_of = numbered.into_iter().rev();
                tasks.extend(tasks_of.map(|(step, value)| Task::Enter(step, value)));
            }
            Task::Value(Value::StringLit(text)) => {
                let inner = mark + text.range.start + 1
                    ..mark + text.range.end.max(text.range.start + 2) - 1;
                collector.value(text.value, inner)?;
            }
            Task::Value(Value::NumberLit(number)) => {
                let span = mark + number.range.start..mark + number.range.end;
                collector.value(number.value.into(), span)?;
            }
            Task::Value(Value::BooleanLit(truth)) => {
                let span = mark + truth.range.start..mark + truth.range.end;
                collector.value(if truth.value { "true" } else { "false" }.into(), span)?;
            }
            Task::Value(Value::NullKeyword(_)) => {}
        }
    }
    Ok(())
}
