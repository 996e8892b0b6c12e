//! s3cmd, which signs by itself and configures nothing but a file.

use std::process::Command;

use bascule_tests::tools;

use crate::side::{Side, same_both_ways};

fn s3cmd(side: &Side, args: &[&str]) -> Command {
    let config = side.home.write(
        "s3cfg",
        &format!(
            "[default]\naccess_key = {}\nsecret_key = {}\nhost_base = {2}\nhost_bucket = {2}\n\
             use_https = False\nbucket_location = US\nmultipart_chunk_size_mb = 5\n\
             max_retries = 1\nhuman_readable_sizes = False\n",
            side.key.id,
            side.key.secret,
            side.address()
        ),
    );
    let program = tools::get("s3cmd");
    let mut all = vec![program.to_str().unwrap(), "-c", config.to_str().unwrap()];
    // Owners, modes and times of the local files are no affair of the gateway's. Without an ACL
    // of the user's choice s3cmd copies that of the source, which is not the key's to set.
    all.extend(["--no-preserve", "--no-progress", "--acl-private"]);
    all.extend(args);
    side.python(&all)
}

#[test]
fn s3cmd_puts_gets_syncs_and_lists_as_it_does_directly() {
    same_both_ways(|side| {
        let bucket = format!("s3://{}", side.bucket);
        let at = |path: &str| format!("{bucket}/{path}");
        side.tree("from");
        side.runs(s3cmd(side, &["put", "from/plain.txt", &at("plain.txt")]));
        side.runs(s3cmd(
            side,
            &[
                "put",
                "--add-header=x-amz-meta-note:a note",
                "--add-header=Cache-Control:no-store",
                "--mime-type=text/x-odd",
                "from/with space/and more/a b.txt",
                &at("a b + c.txt"),
            ],
        ));
        side.runs(s3cmd(side, &["put", "from/large.bin", &at("large.bin")]));
        side.runs(s3cmd(side, &["sync", "from/", &at("synced/")]));
        side.shows(s3cmd(side, &["sync", "from/", &at("synced/")]));
        side.runs(s3cmd(
            side,
            &["cp", &at("large.bin"), &at("copy/large.bin")],
        ));
        side.runs(s3cmd(side, &["mv", &at("plain.txt"), &at("moved.txt")]));
        side.runs(s3cmd(
            side,
            &["modify", "--add-header=x-amz-meta-more:1", &at("moved.txt")],
        ));
        side.runs(s3cmd(side, &["get", &at("a b + c.txt"), "got.txt"]));
        side.runs(s3cmd(side, &["sync", &at("synced/"), "back/"]));
        let listed = side.runs(s3cmd(side, &["ls", "--recursive", "--list-md5", &bucket]));
        // Without the date and the time that come first.
        for line in listed.stdout.lines() {
            let told = line.splitn(3, ' ').nth(2).unwrap();
            side.hears(told.trim());
        }
        side.shows(s3cmd(side, &["du", &bucket]));
        side.shows(s3cmd(side, &["multipart", &bucket]));
        side.runs(s3cmd(side, &["del", &at("moved.txt")]));
        side.runs(s3cmd(
            side,
            &["del", "--recursive", "--force", &at("copy/")],
        ));
        side.ends(s3cmd(side, &["get", &at("missing"), "missing"]), 64);
        let back = side.files("back");
        assert_eq!(back.len(), 8);
        assert!(back == side.files("from"), "what came back differs");
        Some(())
    });
}
