//! `key issue --write`: the tool finds the key where it looks by itself, what it had before stays
//! as it was, and what can't be written is refused before there is a key.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use bascule_tests::{
    Answer, World, cli,
    cli::{REFUSED, USAGE},
    home::holds,
    tools,
};
use serde_json::Value;

struct Desk {
    world: World,
    bucket: String,
    /// A folder with every tool under the name that a person types.
    programs: PathBuf,
}

impl Desk {
    fn new() -> Option<Self> {
        let world = World::new()?;
        let bucket = world.minio.bucket();
        world.minio.s3().put(&bucket, "found", "an object").unwrap();
        world.connect("photos", &[&bucket]);
        let programs = world.home.path("programs");
        fs::create_dir(&programs).unwrap();
        for tool in ["rclone", "mc", "s5cmd", "restic", "python"] {
            symlink(tools::find(tool)?, programs.join(tool)).unwrap();
        }
        let python = tools::get("python");
        let s3cmd = tools::get("s3cmd");
        for (tool, script) in [
            ("aws", format!("{} -m awscli", python.display())),
            ("s3cmd", format!("{} {}", python.display(), s3cmd.display())),
        ] {
            let path = programs.join(tool);
            fs::write(&path, format!("#!/bin/sh\nexec {script} \"$@\"\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        Some(Self {
            world,
            bucket,
            programs,
        })
    }

    fn home(&self, path: &str) -> PathBuf {
        self.world.home.path("home").join(path)
    }

    /// Something that a tool had before.
    fn had(&self, path: &str, text: &str) -> PathBuf {
        let path = self.home(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    fn issue(&self, format: &str, label: &str, more: &[&str]) -> Answer {
        let args = [
            "key", "issue", "photos", "--label", label, "--format", format, "--write",
        ];
        self.world.cli().run(&[&args, more].concat())
    }

    fn keys(&self) -> usize {
        let listed = self.world.cli().run(&["key", "list", "photos"]).ok();
        listed["keys"].as_array().unwrap().len()
    }

    /// Runs a line as a person would who copied it.
    #[track_caller]
    fn types(&self, line: &str) -> Answer {
        let mut command = self.world.home.command("/bin/sh".as_ref());
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .args(["-eu", "-c", line])
            .env("PATH", format!("{}:{path}", self.programs.display()))
            .env("RESTIC_PASSWORD", "secret");
        cli::finish(command, "", format!("({line})")).exits(0)
    }

    #[track_caller]
    fn refuses(&self, answer: &Answer, code: i32, words: &[&str]) {
        assert_eq!(answer.code, Some(code), "{answer}");
        let error = answer.error();
        let told = format!("{} {}", error["message"], error["next"]);
        for word in words {
            assert!(told.contains(word), "{word} in {told}");
        }
        assert_eq!(self.keys(), 0, "a key was issued for nothing");
    }
}

fn command(issued: &Value) -> &str {
    issued["command"].as_str().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn each_tool_finds_its_key_with_the_command_that_is_shown() {
    let Some(desk) = Desk::new() else { return };
    let env = desk.home("key.env");
    for (format, file, more) in [
        ("rclone", ".config/rclone/rclone.conf", &[][..]),
        ("aws", ".aws/credentials", &[]),
        ("s5cmd", ".aws/credentials", &[]),
        ("boto3", ".aws/credentials", &[]),
        ("mc", ".mc/config.json", &[]),
        ("s3cmd", ".s3cfg", &[]),
        ("restic", ".config/restic/photos-restic.env", &[]),
        ("env", "key.env", &["--file", env.to_str().unwrap()]),
    ] {
        let answer = desk.issue(format, format, more);
        let issued = answer.clone().ok();
        assert_eq!(issued["secret_access_key"], Value::Null, "{format}");
        assert_eq!(issued["handed_out"], Value::Null, "{format}");
        let file = desk.home(file);
        let written = issued["written"].as_array().unwrap();
        assert_eq!(written.last().unwrap()["path"], file.to_str().unwrap());
        assert_eq!(mode(&file), 0o600, "{format}");
        let line = match format {
            "boto3" => format!(
                "python -c 'import boto3; print(boto3.{}.list_objects_v2(Bucket=\"{}\")[\"Contents\"])'",
                command(&issued).strip_prefix("boto3.").unwrap(),
                desk.bucket
            ),
            "env" => format!("{} && aws s3 ls s3://{}", command(&issued), desk.bucket),
            _ => command(&issued).to_owned(),
        };
        let told = desk.types(&line).stdout;
        let expected = match format {
            "rclone" => &desk.bucket,
            "restic" => "created restic repository",
            _ => "found",
        };
        assert!(told.contains(expected), "{line}: {told}");
    }
    // Every secret is where the tool looks and nowhere else that is left.
    assert_eq!(desk.keys(), 8);
}

#[test]
fn cyberduck_gets_a_bookmark_and_the_person_the_secret_that_it_asks_for() {
    let Some(desk) = Desk::new() else { return };
    let issued = desk.issue("cyberduck", "desk", &[]).ok();
    let secret = issued["secret_access_key"].as_str().unwrap();
    let path = issued["written"][0]["path"].as_str().unwrap();
    assert!(path.ends_with("/Bookmarks/photos-desk.duck"), "{path}");
    let bookmark = fs::read(path).unwrap();
    assert!(!holds(&bookmark, secret) && holds(&bookmark, "photos (desk)"));
}

#[test]
fn what_a_tool_had_stays_byte_for_byte_and_is_kept_beside_it() {
    let Some(desk) = Desk::new() else { return };
    let rclone = "# mine\r\n[old]\r\ntype = local ; x\r\n\r\n[ünï]\r\ntype = alias\r\nremote = /";
    let real = desk.had("dotfiles/rclone.conf", rclone);
    fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
    fs::create_dir_all(desk.home(".config/rclone")).unwrap();
    let link = desk.home(".config/rclone/rclone.conf");
    symlink("../../dotfiles/rclone.conf", &link).unwrap();
    let issued = desk.issue("rclone", "tool", &["--as", "new"]).ok();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let now = fs::read_to_string(&real).unwrap();
    assert!(
        now.starts_with(rclone) && now.contains("\r\n\r\n# buckets"),
        "{now}"
    );
    assert_eq!(mode(&real), 0o600);
    let backup = Path::new(issued["written"][0]["backup"].as_str().unwrap());
    assert_eq!(fs::read_to_string(backup).unwrap(), rclone);
    assert_eq!(mode(backup), 0o600);
    let remotes = desk.types("rclone listremotes | LC_ALL=C sort").stdout;
    assert_eq!(
        remotes.lines().collect::<Vec<_>>(),
        ["new:", "old:", "ünï:"]
    );
    assert!(desk.types(command(&issued)).stdout.contains(&desk.bucket));

    let config = "{\n \"version\": \"10\",\n \"aliases\": {\n  \"theirs\": {\"url\": \"http://127.0.0.1:9\", \"accessKey\": \"a\", \"secretKey\": \"b\", \"api\": \"s3v4\", \"path\": \"auto\", \"unknown\": 1.0}\n }\n}";
    let path = desk.had(".mc/config.json", config);
    desk.issue("mc", "mc", &["--as", "ours"]).ok();
    let now = fs::read_to_string(path).unwrap();
    let added = now.len() - config.len();
    let at = config.find("\n }\n}").unwrap();
    assert_eq!(
        (&now[..at], &now[at + added..]),
        (&config[..at], &config[at..])
    );
    assert!(
        desk.types(&format!("mc ls ours/{}", desk.bucket))
            .stdout
            .contains("found")
    );
}

#[test]
fn what_stands_in_the_way_is_found_before_a_key_is_issued() {
    let Some(desk) = Desk::new() else { return };
    let conf = desk.had(
        ".config/rclone/rclone.conf",
        "[photos-tool]\ntype = local\n",
    );
    let taken = ["exists already", "--as NAME", "rclone.conf"];
    desk.refuses(&desk.issue("rclone", "tool", &[]), REFUSED, &taken);

    fs::write(
        &conf,
        "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nAAAA\n",
    )
    .unwrap();
    let encrypted = ["encrypted", "rclone config", "--file"];
    desk.refuses(&desk.issue("rclone", "tool", &[]), REFUSED, &encrypted);

    fs::write(&conf, "[a]\nhunter2\n").unwrap();
    let answer = desk.issue("rclone", "tool", &[]);
    desk.refuses(&answer, REFUSED, &["line 2"]);
    assert!(!answer.text().contains("hunter2"));

    fs::remove_file(&conf).unwrap();
    symlink("nowhere", &conf).unwrap();
    desk.refuses(
        &desk.issue("rclone", "tool", &[]),
        REFUSED,
        &["leads to nothing"],
    );
    fs::remove_file(&conf).unwrap();
    let mut by_variable = desk.world.cli().command();
    by_variable
        .args(["--json", "key", "issue", "photos", "--label", "tool"])
        .args(["--format", "rclone", "--write"])
        .env("RCLONE_CONFIG_PHOTOS-TOOL_TYPE", "local");
    let answer = cli::finish(by_variable, "", "(variable)".to_owned());
    desk.refuses(&answer, REFUSED, &["RCLONE_CONFIG_PHOTOS-TOOL_TYPE"]);

    desk.had(".aws/credentials", "[viewer]\nregion = x\n");
    let answer = desk.issue("aws", "tool", &["--as", "viewer"]);
    desk.refuses(&answer, REFUSED, &["[viewer] exists already"]);
    assert!(
        !desk.home(".aws/config").exists(),
        "not even the other file"
    );

    desk.had(".s3cfg", "");
    desk.refuses(
        &desk.issue("s3cmd", "tool", &[]),
        REFUSED,
        &[".s3cfg exists", "--file"],
    );
    desk.refuses(&desk.issue("env", "tool", &[]), USAGE, &["--file"]);
    desk.refuses(
        &desk.issue("json", "tool", &[]),
        USAGE,
        &["leave --write out"],
    );
    let two = desk.issue("aws", "tool", &["--file", "x"]);
    desk.refuses(&two, USAGE, &["AWS_CONFIG_FILE"]);
    let odd = desk.issue("mc", "tool", &["--as", "1 x"]);
    desk.refuses(&odd, USAGE, &["starts with a letter"]);
    let folder = desk.home("");
    let answer = desk.issue("rclone", "tool", &["--file", folder.to_str().unwrap()]);
    desk.refuses(&answer, REFUSED, &["not a regular file"]);
}

#[test]
fn a_key_that_cannot_be_written_after_all_is_shown_with_the_way_back() {
    let Some(desk) = Desk::new() else { return };
    // The first file takes the place of the second one's folder.
    let config = desk.home("config");
    let write = |json: &[&str], label: &str| -> Command {
        let mut command = desk.world.cli().command();
        command
            .args(json)
            .args(["key", "issue", "photos", "--label", label])
            .args(["--format", "aws", "--write"])
            .env("AWS_CONFIG_FILE", &config)
            .env("AWS_SHARED_CREDENTIALS_FILE", config.join("credentials"));
        command
    };
    let answer = cli::finish(write(&[], "one"), "", "(write)".to_owned()).exits(1);
    assert!(
        answer.stdout.contains("aws_secret_access_key = "),
        "{answer}"
    );
    assert!(answer.stderr.contains("was written"), "{answer}");
    let id = answer
        .stderr
        .rsplit("bascule key revoke ")
        .next()
        .unwrap()
        .trim();
    desk.world.cli().run(&["key", "revoke", id]).ok();

    fs::remove_file(&config).unwrap();
    let answer = cli::finish(write(&["--json"], "two"), "", "(write)".to_owned()).exits(1);
    assert_eq!(answer.json["secret_access_key"].as_str().unwrap().len(), 40);
    assert!(
        answer.error()["next"]
            .as_str()
            .unwrap()
            .contains("key revoke")
    );
}

#[test]
fn a_person_reads_where_the_key_went_and_never_the_secret() {
    let Some(desk) = Desk::new() else { return };
    desk.had(".config/rclone/rclone.conf", "[old]\ntype = local\n");
    let args = [
        "key", "issue", "photos", "--label", "tool", "--format", "rclone", "--write",
    ];
    let answer = desk.world.cli().say(&args).exits(0);
    let conf = fs::read_to_string(desk.home(".config/rclone/rclone.conf")).unwrap();
    let secret = conf
        .lines()
        .find_map(|line| line.strip_prefix("secret_access_key = "))
        .unwrap();
    assert!(!answer.text().contains(secret), "{answer}");
    for part in [
        "remote photos-tool",
        "rclone.conf\n",
        "rclone.conf.bascule-backup",
        "rclone lsd photos-tool:",
        "had mode 0644 and has 0600 now",
    ] {
        assert!(answer.text().contains(part), "{part} in {answer}");
    }
}
