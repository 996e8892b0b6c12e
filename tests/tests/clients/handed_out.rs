//! What `key issue --format` prints, used by the tools as it is: one object in, one out, through
//! the gateway.

use std::{fs, path::Path, process::Command};

use bascule_tests::{Answer, World, cli, tools};

/// A world with a bucket, and the key in a form.
struct Issued {
    world: World,
    bucket: String,
    answer: Answer,
}

impl Issued {
    fn new(format: &str) -> Option<Self> {
        let world = World::new()?;
        let bucket = world.minio.bucket();
        world.connect("photos", &[&bucket]);
        let args = [
            "key", "issue", "photos", "--label", "tool", "--format", format,
        ];
        let answer = world.cli().say(&args).exits(0);
        world.home.write("up", "an object");
        Some(Self {
            world,
            bucket,
            answer,
        })
    }

    fn at(&self, before: &str) -> String {
        format!("{before}{}/a b", self.bucket)
    }

    /// Writes what was printed below the home folder.
    fn place(&self, path: &str) {
        place(&self.world, path, &self.answer.stdout);
    }

    /// Runs a tool that has to succeed; its work folder holds `up`.
    #[track_caller]
    fn runs(&self, command: Command, shown: &str) -> Answer {
        cli::finish(command, "", format!("({shown})")).exits(0)
    }

    #[track_caller]
    fn was_put(&self) {
        let stored = self.world.minio.s3().get(&self.bucket, "a b").unwrap();
        assert_eq!(stored.text(), "an object");
    }

    fn was_got(&self) {
        assert_eq!(
            fs::read(self.world.home.path("work/down")).unwrap(),
            b"an object"
        );
    }
}

fn place(world: &World, path: &str, text: &str) {
    let path = world.home.path("home").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn python(world: &World, args: &[&str]) -> Command {
    let mut command = world.home.command(&tools::get("python"));
    command.args(args);
    command
}

fn shell(world: &World, script: &str, args: &[&Path]) -> Command {
    let mut command = world.home.command("/bin/sh".as_ref());
    command.args(["-eu", "-c", script, "sh"]).args(args);
    command
}

#[test]
fn rclone_takes_its_section() {
    let Some(issued) = Issued::new("rclone") else {
        return;
    };
    issued.place(".config/rclone/rclone.conf");
    let at = issued.at("photos-tool:");
    issued.world.rclone(&["copyto", "up", &at]).exits(0);
    issued.was_put();
    let read = issued.world.rclone(&["cat", &at]);
    assert_eq!(read.exits(0).stdout, "an object");
}

#[test]
fn the_aws_cli_takes_its_profile() {
    let Some(issued) = Issued::new("aws") else {
        return;
    };
    let (credentials, config) = issued
        .answer
        .stdout
        .split_once("# for ~/.aws/config")
        .unwrap();
    place(&issued.world, ".aws/credentials", credentials);
    place(&issued.world, ".aws/config", config);
    let aws = |from: &str, to: &str| {
        let args = [
            "-m",
            "awscli",
            "--profile",
            "photos-tool",
            "s3",
            "cp",
            from,
            to,
        ];
        issued.runs(python(&issued.world, &args), "aws");
    };
    let at = issued.at("s3://");
    aws("up", &at);
    issued.was_put();
    aws(&at, "down");
    issued.was_got();
}

#[test]
fn a_shell_takes_its_variables() {
    let Some(issued) = Issued::new("env") else {
        return;
    };
    let file = issued.world.home.write("key.sh", &issued.answer.stdout);
    let program = issued.world.home.write("program.py", BOTH_WAYS);
    let script = format!(". \"$1\" && exec \"$2\" \"$3\" {}", issued.bucket);
    let python = tools::get("python");
    issued.runs(
        shell(&issued.world, &script, &[&file, &python, &program]),
        "boto3",
    );
    issued.was_put();
    issued.was_got();
}

/// With a client that takes everything from its surroundings.
const BOTH_WAYS: &str = "import boto3, sys
s3 = boto3.client('s3')
s3.upload_file('up', sys.argv[1], 'a b')
s3.download_file(sys.argv[1], 'a b', 'down')
";

#[test]
fn python_takes_its_lines() {
    let Some(issued) = Issued::new("boto3") else {
        return;
    };
    let text = format!(
        "{}import sys\n{}",
        issued.answer.stdout,
        BOTH_WAYS.split_once("'s3')\n").unwrap().1
    );
    let program = issued.world.home.write("program.py", &text);
    let args = [program.to_str().unwrap(), &issued.bucket];
    issued.runs(python(&issued.world, &args), "boto3");
    issued.was_put();
    issued.was_got();
}

#[test]
fn s3cmd_takes_its_file_and_copies_without_being_told_about_rights() {
    let Some(issued) = Issued::new("s3cmd") else {
        return;
    };
    issued.place(".s3cfg");
    let program = tools::get("s3cmd");
    let s3cmd = |args: &[&str]| {
        let args = [&[program.to_str().unwrap()], args].concat();
        issued.runs(python(&issued.world, &args), "s3cmd")
    };
    let at = issued.at("s3://");
    s3cmd(&["put", "up", &at]);
    issued.was_put();
    s3cmd(&["cp", &at, &format!("{at} too")]);
    s3cmd(&["get", &format!("{at} too"), "down"]);
    issued.was_got();
}

#[test]
fn mc_imports_its_alias() {
    let Some(issued) = Issued::new("mc") else {
        return;
    };
    let mc = |args: &[&str], input: &str| {
        let mut command = issued.world.tool("mc").unwrap();
        command.args(["--no-color", "--quiet"]).args(args);
        cli::finish(command, input, format!("(mc) {args:?}")).exits(0)
    };
    mc(&["alias", "import", "photos"], &issued.answer.stdout);
    let at = issued.at("photos/");
    mc(&["cp", "up", &at], "");
    issued.was_put();
    mc(&["cp", &at, "down"], "");
    issued.was_got();
}

#[test]
fn s5cmd_takes_its_section_with_the_options_that_stand_in_it() {
    let Some(issued) = Issued::new("s5cmd") else {
        return;
    };
    issued.place(".aws/credentials");
    let options = issued.answer.stdout.split_once("then: s5cmd ").unwrap().1;
    let options = options.lines().next().unwrap().strip_suffix(" ls").unwrap();
    let s5cmd = |from: &str, to: &str| {
        let mut command = issued.world.tool("s5cmd").unwrap();
        command.args(options.split(' ')).args(["cp", from, to]);
        issued.runs(command, "s5cmd");
    };
    let at = issued.at("s3://");
    s5cmd("up", &at);
    issued.was_put();
    s5cmd(&at, "down");
    issued.was_got();
}

#[test]
fn restic_takes_its_variables_and_its_repository() {
    let Some(issued) = Issued::new("restic") else {
        return;
    };
    let file = issued.world.home.write("key.sh", &issued.answer.stdout);
    let script = "export RESTIC_PASSWORD=secret; . \"$1\"; \"$2\" init; \"$2\" backup up; \
                  \"$2\" dump latest /up > down";
    let restic = tools::find("restic").unwrap();
    issued.runs(shell(&issued.world, script, &[&file, &restic]), "restic");
    issued.was_got();
    let stored = issued.world.minio.s3().list(&issued.bucket).unwrap();
    assert!(
        stored.iter().any(|object| object.key == "restic/config"),
        "{stored:?}"
    );
}

#[test]
fn the_json_is_one_document_with_everything() {
    let Some(issued) = Issued::new("json") else {
        return;
    };
    let key: serde_json::Value = serde_json::from_str(&issued.answer.stdout).unwrap();
    let text = |name: &str| key[name].as_str().unwrap();
    let s3 = bascule_tests::S3::new(
        text("endpoint"),
        text("access_key_id"),
        text("secret_access_key"),
    );
    s3.put(&issued.bucket, "a b", "an object").unwrap();
    issued.was_put();
    assert_eq!(s3.get(&issued.bucket, "a b").unwrap().text(), "an object");
}

/// Cyberduck and its command line can't be installed here, so nothing connects with the bookmark.
/// What is shown: Python's plistlib reads it, and it has the fields that Cyberduck reads from a
/// bookmark, with a label that XML has to escape.
#[test]
fn the_cyberduck_bookmark_is_a_property_list_without_the_secret() {
    let Some(world) = World::new() else { return };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let label = "my <desk> & \"más\" ]]>";
    let args = [
        "key",
        "issue",
        "photos",
        "--label",
        label,
        "--format",
        "cyberduck",
    ];
    let answer = world.cli().say(&args).exits(0);
    let secret = answer.stderr.lines().find_map(|line| {
        let line = line.strip_prefix("Secret access key, which Cyberduck asks for")?;
        line.rsplit(' ').next()
    });
    let secret = secret.expect("how the secret gets in");
    assert!(!answer.stdout.contains(secret), "{answer}");

    let file = world.home.write("photos.duck", &answer.stdout);
    let program =
        "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
    let read = python(&world, &["-c", program, file.to_str().unwrap()]);
    let bookmark = cli::finish(read, "", "(plistlib)".to_owned()).ok();
    let endpoint = world.cli().run(&["status"]).ok();
    let address = endpoint["gateways"][0].as_str().unwrap_or_default();
    let port = address.rsplit(':').next().unwrap();
    for (field, value) in [
        ("Protocol", "s3"),
        ("Provider", "s3-http"),
        ("Nickname", &format!("photos ({label})")),
        ("Hostname", "127.0.0.1"),
        ("Port", port),
        ("Path", &format!("/{bucket}")),
    ] {
        assert_eq!(bookmark[field], value, "{field} of {bookmark}");
    }
    assert_eq!(bookmark["Custom"]["s3.bucket.virtualhost.disable"], "true");
    let id = bookmark["Username"].as_str().unwrap();
    let key = bascule_tests::Issued {
        id: id.to_owned(),
        secret: secret.to_owned(),
        endpoint: address.to_owned(),
    };
    key.s3().put(&bucket, "a b", "with both halves").unwrap();
}
