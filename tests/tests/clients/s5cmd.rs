//! s5cmd, which is built on the AWS SDK for Go.

use crate::side::{Side, same_both_ways};

fn s5cmd(side: &Side, args: &[&str]) -> Option<std::process::Command> {
    let mut all = vec!["--endpoint-url", &side.key.endpoint, "--retry-count", "0"];
    all.extend(args);
    side.tool("s5cmd", &all)
}

#[test]
fn s5cmd_copies_syncs_lists_and_removes_as_it_does_directly() {
    same_both_ways(|side| {
        let bucket = format!("s3://{}", side.bucket);
        let at = |path: &str| format!("{bucket}/{path}");
        side.tree("from");
        side.runs(s5cmd(
            side,
            &["cp", "--part-size", "5", "from/", &at("copied/")],
        )?);
        side.shows(s5cmd(side, &["ls", "--etag", "--show-fullpath", &at("*")])?);
        side.shows(s5cmd(side, &["du", "--group", &at("*")])?);
        side.runs(s5cmd(side, &["sync", "from/", &at("synced/")])?);
        side.shows(s5cmd(side, &["sync", "from/", &at("synced/")])?);
        side.file("from/plain.txt", b"now shorter");
        side.shows(s5cmd(
            side,
            &["sync", "--delete", "from/with space/", &at("synced/")],
        )?);
        side.runs(s5cmd(side, &["cp", &at("copied/*"), "back/"])?);
        side.runs(s5cmd(
            side,
            &["cp", &at("copied/plain.txt"), &at("plain copy.txt")],
        )?);
        side.runs(s5cmd(side, &["mv", &at("copied/empty"), &at("moved")])?);
        side.shows(s5cmd(
            side,
            &["cat", &at("copied/plus+and&amp=equals/100%.txt")],
        )?);
        side.runs(s5cmd(side, &["rm", &at("copied/with space/*")])?);
        side.shows(s5cmd(side, &["ls", "--show-fullpath", &at("*")])?);
        assert_eq!(
            side.ends(s5cmd(side, &["cat", &at("missing")])?, 1).stdout,
            ""
        );
        let back = side.files("back");
        assert_eq!(back.len(), 8);
        side.tree("from");
        assert!(back == side.files("from"), "what came back differs");
        Some(())
    });
}
