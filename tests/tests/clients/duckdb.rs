//! DuckDB, which reads and writes tables by ranges of their files.

use crate::side::same_words_both_ways;

const STORY: &str = include_str!("duckdb.py");

#[test]
fn duckdb_writes_and_reads_parquet_as_it_does_directly() {
    same_words_both_ways(|side| {
        side.shows(side.program("story.py", STORY, &[side.address(), &side.bucket]));
        Some(())
    });
}
