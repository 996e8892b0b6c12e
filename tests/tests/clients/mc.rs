//! mc, which probes a server when it is given an alias.

use crate::side::{Side, same_both_ways};

fn mc(side: &Side, args: &[&str]) -> Option<std::process::Command> {
    let config = side.home.path("home/mc");
    let mut all = vec!["--config-dir", config.to_str().unwrap()];
    all.extend(["--no-color", "--quiet"]);
    all.extend(args);
    side.tool("mc", &all)
}

#[test]
fn mc_copies_mirrors_and_lists_as_it_does_directly() {
    same_both_ways(|side| {
        let (key, bucket) = (&side.key, format!("gate/{}", side.bucket));
        let at = |path: &str| format!("{bucket}/{path}");
        let set = mc(
            side,
            &["alias", "set", "gate", &key.endpoint, &key.id, &key.secret],
        )?;
        side.finishes_unheard(set).exits(0);
        side.tree("from");
        side.runs(mc(
            side,
            &[
                "cp",
                "--attr",
                "Note=a note;Cache-Control=no-store",
                "from/plain.txt",
                &at("plain.txt"),
            ],
        )?);
        side.runs(mc(side, &["cp", "--recursive", "from/", &at("copied/")])?);
        side.runs(mc(
            side,
            &["mirror", "--overwrite", "from", &at("mirrored")],
        )?);
        side.file("from/plain.txt", b"now shorter");
        side.runs(mc(
            side,
            &["mirror", "--overwrite", "--remove", "from", &at("mirrored")],
        )?);
        side.runs(mc(side, &["mirror", &at("mirrored"), "back"])?);
        assert_eq!(side.files("back"), side.files("from"));
        for listing in [
            &["ls", "--recursive"][..],
            &["find"],
            &["du", "--recursive"],
        ] {
            let printed = side
                .runs(mc(side, &[listing, &[&*bucket]].concat())?)
                .stdout;
            let mut lines: Vec<&str> = printed.lines().map(after_time).collect();
            lines.sort_unstable();
            side.hears(&lines.join("\n"));
        }
        let stat = side.runs(mc(side, &["stat", &at("plain.txt")])?).stdout;
        let mut told: Vec<&str> = stat
            .lines()
            .filter(|line| !line.starts_with("Date"))
            .collect();
        told.sort_unstable();
        side.hears(&told.join("\n"));
        side.runs(mc(side, &["cp", &at("copied/large.bin"), &at("copy")])?);
        side.runs(mc(side, &["mv", &at("copy"), &at("moved")])?);
        side.shows(mc(
            side,
            &["cat", &at("copied/with space/and more/a b.txt")],
        )?);
        side.shows(mc(side, &["head", "-n", "1", &at("mirrored/plain.txt")])?);
        side.runs(mc(side, &["tag", "set", &at("plain.txt"), "a=1&b=two"])?);
        side.shows(mc(side, &["tag", "list", &at("plain.txt")])?);
        let piped = side.finishes(mc(side, &["pipe", &at("piped")])?, "through a pipe");
        assert_eq!(piped.code, Some(0), "{piped}");
        side.shows(mc(side, &["diff", "from", &at("mirrored")])?);
        side.runs(mc(side, &["rm", &at("piped")])?);
        side.runs(mc(
            side,
            &["rm", "--recursive", "--force", &at("copied/dots")],
        )?);
        side.ends(mc(side, &["cat", &at("missing")])?, 1);
        Some(())
    });
}

/// `[2024-01-01 00:00:00 UTC] 1KiB STANDARD name` without the time.
fn after_time(line: &str) -> &str {
    line.split_once("] ").map_or(line, |(_, rest)| rest)
}
