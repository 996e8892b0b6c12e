//! boto3, with every form in which it sends bodies and asks questions.

use crate::side::same_both_ways;

const STORY: &str = include_str!("boto3.py");

#[test]
fn boto3_reads_writes_and_presigns_as_it_does_directly() {
    same_both_ways(|side| {
        side.shows(side.program("story.py", STORY, &[&side.bucket]));
        Some(())
    });
}
