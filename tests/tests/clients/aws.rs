//! The aws cli, in the forms that its users type.

use std::process::Command;

use bascule_tests::S3;

use crate::side::{Side, same_both_ways};

fn aws(side: &Side, args: &[&str]) -> Command {
    let mut all = vec!["-m", "awscli"];
    all.extend(args);
    let mut command = side.python(&all);
    // Smaller than usual, so that a file of a few MiB takes several parts.
    let config = side.home.write(
        "aws.config",
        "[default]\ns3 =\n  multipart_threshold = 5MB\n  multipart_chunksize = 5MB\n",
    );
    command.env("AWS_CONFIG_FILE", config);
    command
}

#[test]
fn aws_cli_copies_syncs_and_presigns_as_it_does_directly() {
    same_both_ways(|side| {
        let bucket = format!("s3://{}", side.bucket);
        let at = |path: &str| format!("{bucket}/{path}");
        let aws = |args: &[&str]| aws(side, &[&["s3"], args].concat());
        side.tree("from");
        side.runs(aws(&[
            "cp",
            "from/plain.txt",
            &at("one + two.txt"),
            "--metadata",
            "Note=a note,other=2",
            "--cache-control",
            "max-age=60",
            "--content-disposition",
            "attachment; filename=\"a b\"",
        ]));
        side.runs(aws(&["sync", "from", &at("synced")]));
        side.shows(aws(&["sync", "from", &at("synced")]));
        side.file("from/plain.txt", b"now shorter");
        std::fs::remove_dir_all(side.home.path("work/from/with space")).unwrap();
        side.runs(aws(&["sync", "--delete", "from", &at("synced")]));
        side.runs(aws(&["sync", &at("synced"), "back"]));
        assert!(
            side.files("back") == side.files("from"),
            "what came back differs"
        );
        side.runs(aws(&["mv", &at("synced/large.bin"), &at("moved.bin")]));
        side.runs(aws(&["rm", "--recursive", &at("synced/dots")]));
        let piped = side.finishes(aws(&["cp", "-", &at("piped")]), "through a pipe");
        assert_eq!(piped.code, Some(0), "{piped}");
        side.shows(aws(&["cp", &at("piped"), "-"]));
        side.ends(aws(&["cp", &at("missing"), "missing"]), 1);

        // The region `auto` of the formats handed out makes it sign the link with version 4.
        let link = side.runs(aws(&["presign", &at("one + two.txt")])).stdout;
        let s3 = S3::new(&side.key.endpoint, &side.key.id, &side.key.secret);
        let followed = s3.follow(link.trim()).unwrap();
        assert_eq!(followed.status, 200, "{}", followed.text());
        side.hears(&followed.text());
        Some(())
    });
}

#[test]
fn aws_cli_uploads_in_parts_as_it_does_directly() {
    same_both_ways(|side| {
        let api = |args: &[&str]| {
            let mut all = vec!["s3api"];
            all.extend(args);
            all.extend(["--bucket", &side.bucket, "--key", "in parts"]);
            aws(side, &all)
        };
        side.tree("from");
        let part = side.file("part", &vec![b'p'; 5 << 20]);
        let begun = side
            .runs(api(&["create-multipart-upload", "--metadata", "a=1"]))
            .json;
        let upload = begun["UploadId"].as_str().unwrap();
        let mut parts = Vec::new();
        for (number, file) in [("1", part.to_str().unwrap()), ("2", "from/plain.txt")] {
            let mut args = vec!["upload-part", "--upload-id", upload];
            args.extend(["--part-number", number, "--body", file]);
            let stored = side.finishes_unheard(api(&args)).ok();
            parts.push(serde_json::json!({
                "PartNumber": number.parse::<u32>().unwrap(),
                "ETag": stored["ETag"],
            }));
        }
        let listed = side
            .finishes_unheard(api(&["list-parts", "--upload-id", upload]))
            .ok();
        assert_eq!(listed["Parts"].as_array().unwrap().len(), 2, "{listed}");
        let document = serde_json::json!({ "Parts": parts }).to_string();
        let mut args = vec!["complete-multipart-upload", "--upload-id", upload];
        args.extend(["--multipart-upload", &document]);
        let done = side.finishes_unheard(api(&args)).ok();
        assert_eq!(
            done["Location"],
            format!("{}/{}/in%20parts", side.key.endpoint, side.bucket),
            "the address of this side"
        );
        side.hears(&done["ETag"].to_string());
        let got = side
            .runs(api(&[
                "get-object",
                "--range",
                "bytes=5242870-5242890",
                "got",
            ]))
            .json;
        side.hears(&format!("{} {}", got["ContentRange"], got["Metadata"]));
        let got = std::fs::read(side.home.path("work/got")).unwrap();
        side.hears(&String::from_utf8(got).unwrap_or_else(|bytes| format!("{bytes:?}")));
        let head = side.runs(api(&["head-object"])).json;
        side.hears(&format!("{} {}", head["ContentLength"], head["ETag"]));
        side.finishes(api(&["abort-multipart-upload", "--upload-id", "none"]), "");
        Some(())
    });
}
