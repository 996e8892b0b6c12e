//! The password files of s3fs.

use super::{Collector, Leaf, Step, name};
use crate::ini::ParseError;

pub(super) fn read(text: &str) -> Result<Vec<Leaf<'_>>, ParseError> {
    let mut collector = Collector::new(text);
    for (raw, number) in text.split_inclusive('\n').zip(0..) {
        let line = raw.trim();
        if line.is_empty() || line.starts_with(['#', '[']) {
            continue;
        }
        // The first and the last colon count, as in s3fs.
        let (Some(first), Some(last)) = (line.find(':'), line.rfind(':')) else {
            continue;
        };
        let secret = &line[last + 1..];
        let (bucket, id) = if first == last {
            (None, &line[..first])
        } else {
            (Some(&line[..first]), &line[first + 1..last])
        };
        collector.enter(Step::Index(number), 0)?;
        let parts = [
            ("bucket", bucket),
            ("id", Some(id)),
            ("secret", Some(secret)),
        ];
        for (part, value) in parts {
            if let Some(value) = value {
                let span = collector.span_of(value);
                collector.value_at(name(part), value.into(), span)?;
            }
        }
        collector.leave();
    }
    Ok(collector.leaves)
}
