//! Each way in which a tool is told its key.

use std::process::Command;

use bascule_tests::{
    cli::{self, REFUSED},
    tools,
};

use crate::{Stage, Way, lives};

const CONF: &str = ".config/rclone/rclone.conf";
const REMOTE: &str = "# my buckets\n[r2]\ntype = s3\nprovider = Minio\naccess_key_id = <ID>\nsecret_access_key = <SECRET>\nendpoint = <ENDPOINT>\nregion = us-east-1\n\n";

fn rclone(stage: &Stage, args: &[&str]) -> Option<Command> {
    let mut command = stage.world.home.command(&tools::get("rclone"));
    command
        .args(args)
        .args(["--retries", "1", "--low-level-retries", "2"]);
    Some(command)
}

/// What a shell makes of a line, with the tools that tests/setup has.
fn shell(stage: &Stage, line: &str) -> Option<Command> {
    let mut folders: Vec<_> = ["rclone", "restic", "s5cmd", "mc"]
        .iter()
        .filter_map(|name| Some(tools::find(name)?.parent()?.to_owned()))
        .collect();
    folders.push(tools::get("python").parent()?.to_owned());
    folders.extend(std::env::split_paths(&std::env::var_os("PATH")?));
    let mut command = stage.world.home.command("/bin/sh".as_ref());
    command
        .args(["-c", line])
        .env("PATH", std::env::join_paths(folders).ok()?)
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_MAX_ATTEMPTS", "1");
    Some(command)
}

/// The command of a unit, with the variables of a file that it names.
fn unit(stage: &Stage, name: &str) -> Option<Command> {
    let text = std::fs::read_to_string(stage.home(&format!(".config/systemd/user/{name}"))).ok()?;
    let mut script = String::new();
    for line in text.lines() {
        if let Some(file) = line.strip_prefix("EnvironmentFile=") {
            script.push_str(&format!("set -a; . {file}; set +a\n"));
        } else if let Some(set) = line.strip_prefix("Environment=") {
            script.push_str(&format!("export {set}\n"));
        } else if let Some(command) = line.strip_prefix("ExecStart=") {
            script.push_str(command);
        }
    }
    shell(stage, &script)
}

#[test]
fn an_rclone_remote() {
    lives(&Way {
        consumer: "rclone:r2",
        files: &[(CONF, REMOTE)],
        run: |stage| {
            rclone(
                stage,
                &["copy", "data", &format!("r2:{}/copied", stage.bucket)],
            )
            .map(in_home(stage))
        },
    });
}

fn in_home(stage: &Stage) -> impl Fn(Command) -> Command {
    let home = stage.home("");
    move |mut command| {
        command.current_dir(&home);
        command
    }
}

#[test]
fn an_rclone_remote_behind_crypt_combine_and_alias() {
    lives(&Way {
        consumer: "rclone:r2",
        files: &[
            (
                CONF,
                "[r2]\ntype = s3\nprovider = Minio\naccess_key_id = <ID>\nsecret_access_key = <SECRET>\nendpoint = <ENDPOINT>\n[vault]\ntype = crypt\nremote = r2:<BUCKET>/vault\npassword = Ikq1UgMXAl3Fd3tZlGfEmw5KFOyy\n[short]\ntype = alias\nremote = r2:<BUCKET>\n[all]\ntype = combine\nupstreams = \"a=short:a\" \"b=vault:b\"\n",
            ),
            (
                ".config/systemd/user/nightly.service",
                "[Service]\nExecStart=rclone sync <HOME>/data all:b --retries 1\n",
            ),
        ],
        run: |stage| unit(stage, "nightly.service"),
    });
}

#[test]
fn a_connection_string_in_a_unit() {
    lives(&Way {
        consumer: "rclone:nightly",
        files: &[(
            ".config/systemd/user/nightly.service",
            "[Unit]\nDescription=Copies\n[Service]\nType=oneshot\nExecStart=rclone sync <HOME>/data :s3,provider=Minio,access_key_id=<ID>,secret_access_key=<SECRET>,endpoint=\\'<ENDPOINT>\\':<BUCKET>/synced --retries 1\n",
        )],
        run: |stage| unit(stage, "nightly.service"),
    });
}

#[test]
fn variables_of_an_rclone_remote_in_an_environment_file() {
    lives(&Way {
        consumer: "rclone:r2",
        files: &[
            (
                "nightly.env",
                "# r2\nRCLONE_CONFIG_R2_TYPE=s3\nRCLONE_CONFIG_R2_PROVIDER=Minio\nRCLONE_CONFIG_R2_ACCESS_KEY_ID=<ID>\nRCLONE_CONFIG_R2_SECRET_ACCESS_KEY=\"<SECRET>\"\nRCLONE_CONFIG_R2_ENDPOINT=<ENDPOINT>",
            ),
            (
                ".config/systemd/user/nightly.service",
                "[Service]\nEnvironmentFile=<HOME>/nightly.env\nExecStart=rclone copy <HOME>/data r2:<BUCKET>/copied --retries 1\n",
            ),
        ],
        run: |stage| unit(stage, "nightly.service"),
    });
}

#[test]
fn an_aws_profile() {
    lives(&Way {
        consumer: "aws:work",
        files: &[
            (
                ".aws/credentials",
                "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = nothing\n\n[work]\naws_access_key_id = <ID>\naws_secret_access_key = <SECRET>\n",
            ),
            (
                ".aws/config",
                "[profile work]\nregion = us-east-1\nendpoint_url = <ENDPOINT>\noutput = json\n",
            ),
            (
                ".config/systemd/user/nightly.service",
                "[Service]\nExecStart=python3 -m awscli --profile work s3 cp <HOME>/data/new.txt s3://<BUCKET>/new.txt\n",
            ),
        ],
        run: |stage| {
            let line = format!(
                "{} -m awscli --profile work s3 cp data/new.txt s3://{}/new.txt",
                tools::get("python").display(),
                stage.bucket
            );
            shell(stage, &line).map(in_home(stage))
        },
    });
}

#[test]
fn restic_in_a_unit_with_a_file_of_variables() {
    lives(&Way {
        consumer: "restic:nightly",
        files: &[
            (
                "restic.env",
                "AWS_ACCESS_KEY_ID=<ID>\nAWS_SECRET_ACCESS_KEY=<SECRET>\nRESTIC_REPOSITORY=s3:<ENDPOINT>/<BUCKET>/restic\nRESTIC_PASSWORD=a-password\n",
            ),
            (
                ".config/systemd/user/nightly.service",
                "[Service]\nEnvironmentFile=<HOME>/restic.env\nExecStart=restic backup <HOME>/data\n",
            ),
        ],
        run: |stage| {
            let env = stage.home("restic.env");
            let line = format!(
                "set -a; . {}; restic cat config >/dev/null 2>&1 || restic init && restic backup data",
                env.display()
            );
            shell(stage, &line).map(in_home(stage))
        },
    });
}

#[test]
fn s3cmd() {
    lives(&Way {
        consumer: "s3cmd",
        files: &[(
            ".s3cfg",
            "[default]\naccess_key = <ID>\nbucket_location = us-east-1\nhost_base = <HOST>\nhost_bucket = <HOST>\nsecret_key = <SECRET>\nsignature_v2 = False\nuse_https = False\n",
        )],
        run: |stage| {
            let line = format!(
                "{} {} put data/new.txt s3://{}/new.txt",
                tools::get("python").display(),
                tools::get("s3cmd").display(),
                stage.bucket
            );
            shell(stage, &line).map(in_home(stage))
        },
    });
}

#[test]
fn an_alias_of_mc() {
    lives(&Way {
        consumer: "mc:play",
        files: &[(
            ".mc/config.json",
            "{\n\t\"version\": \"10\",\n\t\"aliases\": {\n\t\t\"play\": {\n\t\t\t\"url\": \"<ENDPOINT>\",\n\t\t\t\"accessKey\": \"<ID>\",\n\t\t\t\"secretKey\": \"<SECRET>\",\n\t\t\t\"api\": \"S3v4\",\n\t\t\t\"path\": \"auto\"\n\t\t}\n\t}\n}\n",
        )],
        run: |stage| {
            let mut command = stage.world.tool("mc")?;
            command.args([
                "--no-color",
                "cp",
                "data/new.txt",
                &format!("play/{}/new.txt", stage.bucket),
            ]);
            Some(in_home(stage)(command))
        },
    });
}

#[test]
fn s5cmd_in_a_unit() {
    lives(&Way {
        consumer: "s5cmd:nightly",
        files: &[(
            ".config/systemd/user/nightly.service",
            "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=<ID> AWS_SECRET_ACCESS_KEY=<SECRET>\nExecStart=s5cmd --endpoint-url <ENDPOINT> --retry-count 0 cp <HOME>/data/new.txt s3://<BUCKET>/new.txt\n",
        )],
        run: |stage| unit(stage, "nightly.service"),
    });
}

#[test]
fn a_password_file_of_s3fs() {
    lives(&Way {
        consumer: "s3fs:mount",
        files: &[
            ("passwd-s3fs", "<ID>:<SECRET>\n"),
            (
                ".config/systemd/user/mount.service",
                "[Service]\nExecStart=s3fs <BUCKET> <HOME>/mnt -o passwd_file=<HOME>/passwd-s3fs -o url=<ENDPOINT> -o use_path_request_style\n",
            ),
        ],
        run: |stage| {
            let s3fs = tools::installed_path("s3fs")?;
            if !std::path::Path::new("/dev/fuse").exists() {
                return None;
            }
            let mnt = stage.home("mnt");
            std::fs::create_dir_all(&mnt).unwrap();
            let unit =
                std::fs::read_to_string(stage.home(".config/systemd/user/mount.service")).ok()?;
            let command = unit
                .lines()
                .find_map(|line| line.strip_prefix("ExecStart=s3fs "))?;
            // It tells whether the key was taken only by what can be read then.
            let line = format!(
                "{} {command} -o retries=1 && test \"$(cat {mnt}/there.txt)\" = there; code=$?; umount {mnt} 2>/dev/null; exit $code",
                s3fs.display(),
                mnt = mnt.display()
            );
            shell(stage, &line)
        },
    });
}

/// Runs as root only: bascule is shown a folder of the home as `/etc/cron.d`.
fn cron(text: &'static str) {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root || !std::path::Path::new("/etc/cron.d").is_dir() {
        eprintln!("skipped: not root, or no /etc/cron.d");
        return;
    }
    lives(&Way {
        consumer: "aws:/etc/cron.d/nightly",
        files: Box::leak(Box::new([("cron.d/nightly", text)])),
        run: |stage| {
            let text = std::fs::read_to_string(stage.home("cron.d/nightly")).ok()?;
            let mut script = String::from("aws() { python3 -m awscli \"$@\"; }\n");
            for line in text.lines() {
                if let Some(command) = line.strip_prefix("0 2 * * * root ") {
                    script.push_str(command);
                } else if line.starts_with("AWS_") {
                    script.push_str(&format!("export {line}\n"));
                }
            }
            shell(stage, &script).map(in_home(stage))
        },
    });
}

#[test]
fn variables_of_a_crontab() {
    cron(
        "# nightly\nPATH=/usr/bin:/bin\nAWS_ACCESS_KEY_ID=<ID>\nAWS_SECRET_ACCESS_KEY=<SECRET>\nAWS_ENDPOINT_URL=<ENDPOINT>\n0 2 * * * root aws s3 cp data/new.txt s3://<BUCKET>/new.txt\n",
    );
}

#[test]
fn a_line_of_a_crontab() {
    cron(
        "0 2 * * * root AWS_ACCESS_KEY_ID=<ID> AWS_SECRET_ACCESS_KEY=<SECRET> aws --endpoint-url <ENDPOINT> s3 cp data/new.txt s3://<BUCKET>/new.txt\n",
    );
}

const STACK: (&str, &str) = (
    ".config/systemd/user/stack.service",
    "[Service]\nWorkingDirectory=<HOME>/stack\nExecStart=docker compose run --rm backup\n",
);

#[test]
fn the_environment_of_a_compose_file() {
    lives(&Way {
        consumer: "restic:backup",
        files: &[
            (
                "stack/compose.yaml",
                "services:\n  backup:\n    image: restic/restic\n    network_mode: host\n    command: backup /data   # every night\n    environment:\n      AWS_ACCESS_KEY_ID: <ID>\n      AWS_SECRET_ACCESS_KEY: \"<SECRET>\"\n      RESTIC_REPOSITORY: s3:<ENDPOINT>/<BUCKET>/restic\n      RESTIC_PASSWORD: a-password\n    volumes:\n      - <HOME>/data:/data:ro\n",
            ),
            STACK,
        ],
        run: |stage| {
            let containers = stage.containers()?;
            let stack = stage.home("stack");
            let run = ["run", "-T", "--rm", "backup"];
            let repository = stage.minio().s3().get(&stage.bucket, "restic/config");
            if repository.is_err() {
                // Once, as its user does.
                let init = containers.compose(&stack, &[&run[..], &["init"]].concat());
                let _ = cli::finish(init, "", "(compose run init)".to_owned()).exits(0);
            }
            Some(containers.compose(&stack, &run))
        },
    });
}

#[test]
fn a_service_with_a_network_of_its_own_is_left_and_told_why() {
    let Some(stage) = Stage::new(&[
        (
            "stack/compose.yaml",
            "services:\n  backup:\n    image: restic/restic\n    command: backup /data\n    environment:\n      AWS_ACCESS_KEY_ID: <ID>\n      AWS_SECRET_ACCESS_KEY: <SECRET>\n      RESTIC_REPOSITORY: s3:<ENDPOINT>/<BUCKET>/restic\n",
        ),
        STACK,
    ]) else {
        return;
    };
    let before = stage.text();
    let answer = stage.bascule(&["adopt", "restic:backup", "--yes"]);
    assert_eq!(answer.code, Some(REFUSED), "{answer}");
    assert!(answer.text().contains("network_mode: host"), "{answer}");
    assert_eq!(stage.text(), before);
    let keys = stage.bascule(&["key", "list"]).ok();
    assert_eq!(keys["keys"].as_array().map(Vec::len), Some(0), "{keys}");
}

#[test]
fn a_script_that_a_unit_runs() {
    lives(&Way {
        consumer: "aws:nightly",
        files: &[
            (
                "nightly.sh",
                "#!/bin/sh\nset -e\n# for the nightly copy\nexport AWS_ACCESS_KEY_ID=<ID>\nexport AWS_SECRET_ACCESS_KEY='<SECRET>'\nexport AWS_DEFAULT_REGION=us-east-1\naws --endpoint-url <ENDPOINT> s3 cp <HOME>/data/new.txt s3://<BUCKET>/new.txt\n",
            ),
            (
                ".config/systemd/user/nightly.service",
                "[Service]\nExecStart=<HOME>/nightly.sh\n",
            ),
            ("bin/aws.sh", "#!/bin/sh\nexec python3 -m awscli \"$@\"\n"),
        ],
        run: |stage| {
            let bin = stage.home("bin");
            let _ = std::os::unix::fs::symlink(bin.join("aws.sh"), bin.join("aws"));
            let script = stage.home("nightly.sh");
            shell(
                stage,
                &format!("PATH={}:$PATH {}", bin.display(), script.display()),
            )
        },
    });
}
