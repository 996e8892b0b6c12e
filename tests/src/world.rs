//! What most tests begin with: a home, a daemon, a MinIO, and the steps that a user takes.

use std::{path::PathBuf, process::Command, sync::Arc};

use serde_json::Value;

use crate::{
    cli::{self, Answer, Cli},
    daemon::Daemon,
    home::Home,
    minio::Minio,
    s3::S3,
    tools, wait,
};

/// A home with a daemon, next to a MinIO.
#[derive(Debug)]
pub struct World {
    /// Dropped first.
    pub daemon: Daemon,
    /// The home.
    pub home: Home,
    /// The provider.
    pub minio: Arc<Minio>,
}

/// A key as `bascule key issue` answers it.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The access key id.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// Where tools reach the gateway.
    pub endpoint: String,
}

impl Issued {
    /// Reads the answer of `key issue --json`.
    #[must_use]
    pub fn of(answer: &Value) -> Self {
        let text = |value: &Value| {
            value
                .as_str()
                .unwrap_or_else(|| panic!("{answer}"))
                .to_owned()
        };
        Self {
            id: text(&answer["key"]["access_key_id"]),
            secret: text(&answer["secret_access_key"]),
            endpoint: text(&answer["endpoint"]),
        }
    }

    /// A client that uses the key at the gateway.
    #[must_use]
    pub fn s3(&self) -> S3 {
        S3::new(&self.endpoint, &self.id, &self.secret)
    }

    /// A section for rclone's configuration.
    #[must_use]
    pub fn rclone_section(&self, name: &str) -> String {
        format!(
            "[{name}]\ntype = s3\nprovider = Other\naccess_key_id = {}\nsecret_access_key = {}\n\
             endpoint = {}\nregion = auto\nforce_path_style = true\nno_check_bucket = true\n",
            self.id, self.secret, self.endpoint
        )
    }
}

impl World {
    /// With the MinIO that the tests of this binary share. `None` when the test is to be skipped.
    #[must_use]
    pub fn new() -> Option<Self> {
        Some(Self::on(Minio::shared()?))
    }

    /// With a MinIO of the test's choice.
    #[must_use]
    pub fn on(minio: Arc<Minio>) -> Self {
        let home = Home::new();
        let daemon = Daemon::start(&home);
        Self {
            daemon,
            home,
            minio,
        }
    }

    /// With settings for the daemon, in TOML, and the shared MinIO.
    #[must_use]
    pub fn configured(settings: &str) -> Option<Self> {
        Some(Self::configured_on(Minio::shared()?, settings))
    }

    /// With settings for the daemon, in TOML, and a MinIO of the test's choice.
    #[must_use]
    pub fn configured_on(minio: Arc<Minio>, settings: &str) -> Self {
        let home = Home::new();
        let file = home.write("config.toml", settings);
        let daemon = crate::daemon::Start::new()
            .arg("--config")
            .arg(file)
            .run(&home);
        Self {
            daemon,
            home,
            minio,
        }
    }

    /// The command line.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::new(&self.home)
    }

    /// Connects buckets as root, directly at the MinIO.
    pub fn connect(&self, name: &str, buckets: &[&str]) -> Value {
        self.connect_at(
            name,
            buckets,
            &self.minio.endpoint(),
            self.minio.credentials(),
        )
    }

    /// Connects buckets at an endpoint with credentials of the test's choice.
    pub fn connect_at(
        &self,
        name: &str,
        buckets: &[&str],
        endpoint: &str,
        (id, secret): (&str, &str),
    ) -> Value {
        let mut args = vec![
            "connect",
            name,
            "--provider",
            "minio",
            "--endpoint",
            endpoint,
        ];
        for bucket in buckets {
            args.extend(["--bucket", bucket]);
        }
        args.extend(["--allow-http", "--credentials-stdin"]);
        self.cli()
            .run_with(&args, &format!("{id}\n{secret}\n"))
            .ok()
    }

    /// Issues a key.
    #[must_use]
    pub fn issue(&self, connection: &str, label: &str) -> Issued {
        Issued::of(
            &self
                .cli()
                .run(&["key", "issue", connection, "--label", label])
                .ok(),
        )
    }

    /// `delete NAME --yes` of what is in use, with further arguments.
    pub fn delete(&self, connection: &str, more: &[&str]) -> Answer {
        self.cli().delete(connection, more)
    }

    /// Every deletion, as `deletion list` shows it.
    #[must_use]
    pub fn deletions(&self) -> Vec<Value> {
        deletions(&self.cli())
    }

    /// Waits until a deletion has reached a phase, and returns it.
    pub fn wait_for_phase(&self, id: &str, phase: &str) -> Value {
        wait::until(&format!("deletion {id} to be {phase}"), || {
            self.deletions()
                .into_iter()
                .find(|d| d["id"] == id && d["phase"] == phase)
        })
    }

    /// The receipt of a deletion.
    #[must_use]
    pub fn receipt(&self, id: &str) -> Value {
        self.cli().run(&["receipt", "show", id]).ok()
    }

    /// A tool from the cache in this home. `None` when the test is to be skipped.
    #[must_use]
    pub fn tool(&self, name: &str) -> Option<Command> {
        Some(self.home.command(&tools::find(name)?))
    }

    /// Writes rclone's configuration.
    pub fn rclone_config(&self, sections: &str) -> PathBuf {
        let folder = self.home.path("home/.config/rclone");
        std::fs::create_dir_all(&folder).expect("a folder in this home");
        let file = folder.join("rclone.conf");
        std::fs::write(&file, sections).expect("a file in this home");
        file
    }

    /// Runs rclone with few retries.
    pub fn rclone(&self, args: &[&str]) -> Answer {
        let mut command = self.home.command(&tools::get("rclone"));
        command
            .args(args)
            .args(["--retries", "1", "--low-level-retries", "2"]);
        cli::finish(command, "", format!("(rclone) {}", args.join(" ")))
    }

    /// Runs the aws cli with a key.
    pub fn aws(&self, key: &Issued, args: &[&str]) -> Answer {
        let mut command = self.home.command(&tools::get("python"));
        as_aws(&mut command, key)
            .args(["-m", "awscli", "--endpoint-url", &key.endpoint])
            .args(args);
        cli::finish(command, "", format!("(aws) {}", args.join(" ")))
    }

    /// Runs a program with boto3; `s3` is a client with the key.
    pub fn boto3(&self, key: &Issued, program: &str) -> Answer {
        let mut command = self.home.command(&tools::get("python"));
        let program = format!(
            "import boto3, botocore, sys\n\
             from botocore.config import Config\n\
             s3 = boto3.client('s3', endpoint_url={:?}, config=Config(\n\
                 s3={{'addressing_style': 'path'}}, retries={{'max_attempts': 1}}))\n{program}",
            key.endpoint
        );
        as_aws(&mut command, key).args(["-c", &program]);
        cli::finish(command, "", "(boto3)".to_owned())
    }

    /// Runs `mc` with a key as the alias `gate`. `None` when the test is to be skipped.
    pub fn mc(&self, key: &Issued, args: &[&str]) -> Option<Answer> {
        let mut command = self.tool("mc")?;
        let host = key.endpoint.trim_start_matches("http://");
        command
            .env(
                "MC_HOST_gate",
                format!("http://{}:{}@{host}", key.id, key.secret),
            )
            .args(["--no-color", "--quiet"])
            .args(args);
        Some(cli::finish(command, "", format!("(mc) {}", args.join(" "))))
    }

    /// Runs restic with a key on a repository in a bucket. `None` when the test is to be skipped.
    pub fn restic(&self, key: &Issued, bucket: &str, args: &[&str]) -> Option<Answer> {
        let mut command = self.tool("restic")?;
        as_aws(&mut command, key)
            .env("RESTIC_PASSWORD", "a password")
            .args(["-r", &format!("s3:{}/{bucket}/restic", key.endpoint)])
            .args(["-o", "s3.bucket-lookup=path", "--quiet"])
            .args(args);
        Some(cli::finish(
            command,
            "",
            format!("(restic) {}", args.join(" ")),
        ))
    }
}

fn as_aws<'a>(command: &'a mut Command, key: &Issued) -> &'a mut Command {
    command
        .env("AWS_ACCESS_KEY_ID", &key.id)
        .env("AWS_SECRET_ACCESS_KEY", &key.secret)
        .env("AWS_DEFAULT_REGION", "auto")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_MAX_ATTEMPTS", "1")
}

/// Every deletion that a daemon knows; empty when it does not answer.
#[must_use]
pub fn deletions(cli: &Cli) -> Vec<Value> {
    cli.run(&["deletion", "list"]).json["deletions"]
        .as_array()
        .cloned()
        .unwrap_or_default()
}
