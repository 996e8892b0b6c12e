//! What `key issue --format` prints, used by the tools as it is.

use bascule_tests::{Answer, World, cli, tools};

/// A world with an object, and the key in a form.
fn issued(format: &str) -> Option<(World, String, Answer)> {
    let world = World::new()?;
    let bucket = world.minio.bucket();
    world.minio.s3().put(&bucket, "a b", "an object").unwrap();
    world.connect("photos", &[&bucket]);
    let args = [
        "key", "issue", "photos", "--label", "tool", "--format", format,
    ];
    let answer = world.cli().say(&args).exits(0);
    Some((world, bucket, answer))
}

#[test]
fn rclone_takes_its_section() {
    let Some((world, bucket, issued)) = issued("rclone") else {
        return;
    };
    world.rclone_config(&issued.stdout);
    let read = world.rclone(&["cat", &format!("photos-tool:{bucket}/a b")]);
    assert_eq!(read.exits(0).stdout, "an object");
}

#[test]
fn the_aws_cli_takes_its_profile() {
    let Some((world, bucket, issued)) = issued("aws") else {
        return;
    };
    let (credentials, config) = issued.stdout.split_once("# for ~/.aws/config").unwrap();
    let folder = world.home.path("home/.aws");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("credentials"), credentials).unwrap();
    std::fs::write(folder.join("config"), config).unwrap();
    let mut command = world.home.command(&tools::get("python"));
    command
        .args(["-m", "awscli", "--profile", "photos-tool"])
        .args(["s3", "cp", &format!("s3://{bucket}/a b"), "-"]);
    let read = cli::finish(command, "", "(aws)".to_owned());
    assert_eq!(read.exits(0).stdout, "an object");
}

#[test]
fn a_shell_takes_its_variables() {
    let Some((world, bucket, issued)) = issued("env") else {
        return;
    };
    let file = world.home.write("key.sh", &issued.stdout);
    let mut command = world.home.command("/bin/sh".as_ref());
    command.arg("-c").arg(
        ". \"$0\" && exec \"$1\" -c 'import boto3, sys; print(boto3.client(\"s3\").get_object(Bucket=sys.argv[1], Key=\"a b\")[\"Body\"].read().decode(), end=\"\")' \"$2\"",
    );
    command.arg(file).arg(tools::get("python")).arg(&bucket);
    let read = cli::finish(command, "", "(boto3)".to_owned());
    assert_eq!(read.exits(0).stdout, "an object");
}
