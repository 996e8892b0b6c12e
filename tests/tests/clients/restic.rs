//! restic, whose repositories are never the same twice: what is compared is what comes back.

use std::process::Command;

use crate::side::{Side, same_words_both_ways};

fn restic(side: &Side, args: &[&str]) -> Option<Command> {
    let repository = format!("s3:{}/{}/backups", side.key.endpoint, side.bucket);
    let mut all = vec!["-r", &repository, "-o", "s3.bucket-lookup=path"];
    all.push("--quiet");
    all.extend(args);
    let mut command = side.tool("restic", &all)?;
    command.env("RESTIC_PASSWORD", "a password");
    Some(command)
}

#[test]
fn restic_backs_up_checks_restores_and_prunes_as_it_does_directly() {
    same_words_both_ways(|side| {
        side.tree("from");
        side.runs(restic(side, &["init"])?);
        side.runs(restic(side, &["backup", "from"])?);
        side.file("from/plain.txt", b"changed");
        side.runs(restic(side, &["backup", "from"])?);
        side.runs(restic(side, &["check", "--read-data"])?);
        side.runs(restic(side, &["forget", "--keep-last", "1", "--prune"])?);
        side.runs(restic(side, &["check", "--read-data"])?);
        side.shows(restic(side, &["ls", "latest"])?);
        side.runs(restic(side, &["restore", "latest", "--target", "back"])?);
        assert!(
            side.files("back/from") == side.files("from"),
            "what came back differs"
        );
        side.ends(restic(side, &["init"])?, 1);
        Some(())
    });
}
