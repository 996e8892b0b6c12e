//! rclone, with the settings that `key issue --format rclone` hands out, and without the one that
//! keeps it from making the bucket.

use std::process::Command;

use bascule_tests::tools;

use crate::side::{Side, same_both_ways, same_words_both_ways};

fn rclone(side: &Side, args: &[&str]) -> Command {
    let section = side.key.rclone_section("plain");
    let asking = side
        .key
        .rclone_section("asking")
        .replace("no_check_bucket = true\n", "");
    let config = side
        .home
        .write("rclone.conf", &format!("{section}\n{asking}"));
    let mut all = vec!["--config", config.to_str().unwrap()];
    all.extend(["--retries", "1", "--low-level-retries", "1"]);
    all.extend(["--s3-upload-cutoff", "5M", "--s3-chunk-size", "5M"]);
    all.extend(args);
    side.command(&tools::get("rclone"), &all)
}

#[test]
fn rclone_copies_checks_and_syncs_as_it_does_directly() {
    same_both_ways(|side| {
        let remote = format!("plain:{}", side.bucket);
        let at = |path: &str| format!("{remote}/{path}");
        side.tree("from");
        side.runs(rclone(side, &["copy", "from", &at("copied")]));
        side.runs(rclone(
            side,
            &["check", "--download", "from", &at("copied")],
        ));
        side.shows(rclone(
            side,
            &["lsf", "-R", "--format", "pshtm", "--files-only", &remote],
        ));
        for version in ["1", "2"] {
            side.shows(rclone(
                side,
                &["lsf", "-R", "--s3-list-version", version, &remote],
            ));
        }
        side.file("from/plain.txt", b"now shorter");
        std::fs::remove_dir_all(side.home.path("work/from/with space")).unwrap();
        side.runs(rclone(side, &["sync", "from", &at("copied")]));
        side.runs(rclone(side, &["check", "from", &at("copied")]));
        side.runs(rclone(side, &["copy", &at("copied"), &at("again")]));
        side.runs(rclone(
            side,
            &["moveto", &at("again/empty"), &at("again/moved")],
        ));
        side.runs(rclone(side, &["copy", &at("copied"), "back"]));
        side.shows(rclone(
            side,
            &[
                "cat",
                "--offset",
                "3",
                "--count",
                "4",
                &at("copied/plain.txt"),
            ],
        ));
        side.shows(rclone(side, &["size", &remote]));
        side.shows(rclone(side, &["hashsum", "MD5", &remote]));
        side.runs(rclone(side, &["deletefile", &at("again/plain.txt")]));
        side.runs(rclone(side, &["purge", &at("again/dots")]));
        side.ends(rclone(side, &["deletefile", &at("missing")]), 4);
        assert!(
            side.files("back") == side.files("from"),
            "what came back differs"
        );
        Some(())
    });
}

#[test]
fn r55_rclone_goes_on_where_it_first_makes_the_bucket() {
    same_both_ways(|side| {
        let at = |path: &str| format!("asking:{}/{path}", side.bucket);
        let file = side.file("one", b"one file");
        side.runs(rclone(
            side,
            &["copyto", file.to_str().unwrap(), &at("copied")],
        ));
        let piped = side.finishes(rclone(side, &["rcat", &at("piped")]), "through a pipe");
        assert_eq!(piped.code, Some(0), "{piped}");
        side.runs(rclone(side, &["mkdir", &format!("asking:{}", side.bucket)]));
        side.shows(rclone(side, &["cat", &at("piped")]));
        side.runs(rclone(
            side,
            &[
                "copyto",
                "--s3-use-presigned-request",
                "one",
                &at("presigned"),
            ],
        ));
        Some(())
    });
}

#[test]
fn rclone_syncs_both_ways_as_it_does_directly() {
    same_both_ways(|side| {
        let remote = format!("plain:{}/both", side.bucket);
        let at = |path: &str| format!("{remote}/{path}");
        for number in 0..5 {
            side.file(
                &format!("here/file {number}"),
                format!("{number}").as_bytes(),
            );
        }
        side.runs(rclone(side, &["bisync", "here", &remote, "--resync"]));
        side.file("here/file 1", b"changed here");
        side.file("elsewhere", b"changed there");
        side.runs(rclone(side, &["copyto", "elsewhere", &at("file 2")]));
        side.runs(rclone(side, &["deletefile", &at("file 3")]));
        side.runs(rclone(side, &["bisync", "here", &remote]));
        side.shows(rclone(side, &["lsf", "-R", "--format", "psh", &remote]));
        side.runs(rclone(side, &["check", "--download", "here", &remote]));
        side.hears(&format!("{:?}", side.files("here")));
        Some(())
    });
}

/// It tries every character that a name may hold, and lengths of names.
#[test]
fn rclone_finds_the_same_names_possible_as_directly() {
    same_words_both_ways(|side| {
        let remote = format!("plain:{}/info", side.bucket);
        let mut command = rclone(side, &["test", "info", "--all"]);
        command.args(["--write-json", "info.json", &remote]);
        side.runs(command);
        let found = std::fs::read_to_string(side.home.path("work/info.json")).unwrap();
        assert!(found.contains("MaxFileLength"), "{found}");
        // But for the name of the remote, which holds a digest of its settings.
        let told: Vec<&str> = found
            .lines()
            .filter(|line| !line.contains("\"Remote\""))
            .collect();
        side.hears(&told.join("\n"));
        Some(())
    });
}
