//! Tools are moved to keys of their own and back, each run for real on every step of the way: with the
//! provider's key, with its own, after the provider's key has died, after its connection is deleted and
//! it is repaired to another one, and without Bascule again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says so by panicking, or that it is skipped"
)]

mod back;
mod edits;
mod ways;
mod whose;

use std::{cell::OnceCell, path::PathBuf, process::Command, sync::Arc};

use bascule_tests::{Answer, Containers, Minio, World, cli};

/// A tool with its files, before anything of Bascule's.
struct Way {
    /// As the user names it. What stands in `cron.d` is seen as the system's own by bascule.
    consumer: &'static str,
    /// Below the home folder, with `<ID>`, `<SECRET>`, `<ENDPOINT>`, `<HOST>`, `<BUCKET>` and `<HOME>`.
    files: &'static [(&'static str, &'static str)],
    /// What the job does.
    run: fn(&Stage) -> Option<Command>,
}

/// A home with a tool in it.
struct Stage {
    /// For a tool in a container. Dropped before the home that it lies in.
    containers: OnceCell<Option<Containers>>,
    world: World,
    bucket: String,
    files: Vec<(PathBuf, &'static str)>,
    /// The provider's key that stands in the files.
    user: (String, String),
}

impl Stage {
    fn new(files: &[(&'static str, &'static str)]) -> Option<Self> {
        // Of its own: a tool that names no bucket gets all that its key may list.
        let world = World::on(Arc::new(Minio::start()?));
        let bucket = world.minio.bucket();
        let s3 = world.minio.s3();
        s3.put(&bucket, "there.txt", "there").unwrap();
        let user = world.minio.user()?;
        let mut stage = Self {
            containers: OnceCell::new(),
            world,
            bucket,
            files: Vec::new(),
            user,
        };
        for (name, template) in files {
            let path = stage.home(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            stage.files.push((path, template));
        }
        for (path, text) in stage.filled(&stage.user) {
            std::fs::write(&path, text).unwrap();
            use std::os::unix::fs::PermissionsExt;
            let mode = if path.extension().is_some_and(|end| end == "sh") {
                0o700
            } else {
                0o600
            };
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        }
        let data = stage.home("data");
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("new.txt"), "new").unwrap();
        Some(stage)
    }

    fn home(&self, name: &str) -> PathBuf {
        self.world.home.path("home").join(name)
    }

    fn containers(&self) -> Option<&Containers> {
        let containers = self
            .containers
            .get_or_init(|| Containers::new(&self.world.home));
        containers.as_ref()
    }

    fn minio(&self) -> &Arc<Minio> {
        &self.world.minio
    }

    /// The files with somebody's credentials at the provider.
    fn filled(&self, (id, secret): &(String, String)) -> Vec<(PathBuf, String)> {
        let fill = |template: &str| {
            template
                .replace("<ID>", id)
                .replace("<SECRET>", secret)
                .replace("<ENDPOINT>", &self.minio().endpoint())
                .replace("<HOST>", &self.minio().address())
                .replace("<BUCKET>", &self.bucket)
                .replace(
                    "<HOME>",
                    self.home("").to_str().unwrap().trim_end_matches('/'),
                )
        };
        let files = self.files.iter();
        files
            .map(|(path, text)| (path.clone(), fill(text)))
            .collect()
    }

    fn bascule(&self, args: &[&str]) -> Answer {
        let cron = self.home("cron.d");
        if !cron.is_dir() {
            return self.world.cli().run(args);
        }
        // The system's own folder of jobs is this home's, for this command alone.
        let bascule = self.world.cli().command();
        let mut command = self.world.home.command("/usr/bin/unshare".as_ref());
        let script = format!("mount --bind {} /etc/cron.d && exec \"$@\"", cron.display());
        command.args(["-m", "sh", "-c", &script, "sh"]);
        command.arg(bascule.get_program()).args(bascule.get_args());
        command.arg("--json").args(args);
        for (name, value) in bascule.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        cli::finish(command, "", args.join(" "))
    }

    fn text(&self) -> String {
        let texts = self
            .files
            .iter()
            .map(|(path, _)| std::fs::read_to_string(path).unwrap());
        texts.collect::<Vec<_>>().join("\n---\n")
    }

    /// Runs the job; `None` when the tool can't be had.
    fn job(&self, way: &Way) -> Option<Answer> {
        let command = (way.run)(self)?;
        Some(cli::finish(command, "", way.consumer.to_owned()))
    }
}

/// The whole life of one way.
#[track_caller]
fn lives(way: &Way) {
    let Some(stage) = Stage::new(way.files) else {
        return;
    };
    let ran = |step: &str| {
        let answer = stage.job(way)?;
        assert_eq!(answer.code, Some(0), "{step}: {answer}\n{}", stage.text());
        Some(())
    };
    if ran("with the provider's key").is_none() {
        return;
    }
    let consumer = way.consumer;
    let adopted = stage.bascule(&["adopt", consumer, "--yes"]);
    assert_eq!(adopted.code, Some(0), "{adopted}\n{}", stage.text());
    let moved = adopted.json["moved"][0].clone();
    assert_eq!(moved["consumer"], consumer, "{moved}");
    let connection = moved["connection"].as_str().unwrap().to_owned();
    let label = format!("{connection}/{}", moved["label"].as_str().unwrap());
    ran("with its own key").unwrap();
    let used = stage.bascule(&["usage", &label]).ok();
    assert!(used["rows"][0]["requests"].as_u64().unwrap() > 0, "{used}");

    // The provider's key dies; the tool does not notice.
    let own = stage.minio().user().unwrap();
    let old = stage.text();
    stage
        .world
        .cli()
        .run_with(
            &["credentials", &connection, "--credentials-stdin"],
            &format!("{}\n{}\n", own.0, own.1),
        )
        .ok();
    stage.minio().disable(&stage.user.0);
    assert_eq!(stage.text(), old);
    ran("after the provider's key has died").unwrap();

    // The connection is deleted: the job is named, and repaired to another one.
    let spare = stage.minio().user().unwrap();
    stage.world.connect_at(
        "spare",
        &[&stage.bucket],
        &stage.minio().endpoint(),
        (&spare.0, &spare.1),
    );
    stage.world.delete(&connection, &[]).verdict("intact");
    let refused = stage.job(way).unwrap();
    assert_ne!(refused.code, Some(0), "a dead key: {refused}");
    let told = stage.bascule(&["scan", "--skip", "search"]).json;
    let dead = |key: &&serde_json::Value| key["state"]["state"] == "dead";
    let dead = told["keys"].as_array().unwrap().iter().find(dead);
    let dead = dead.unwrap_or_else(|| panic!("{told}")).to_string();
    let names = stage
        .files
        .iter()
        .map(|(path, _)| path.file_name().unwrap());
    let mut names = names.map(|name| name.to_str().unwrap());
    assert!(names.any(|name| dead.contains(name)), "{dead}");
    if !stage.home("cron.d").is_dir() {
        let findings = stage.bascule(&["findings"]).json.to_string();
        assert!(findings.contains("bascule repair"), "{findings}");
    }
    let repaired = stage.bascule(&["repair", consumer, "--connection", "spare", "--yes"]);
    assert_eq!(repaired.code, Some(0), "{repaired}\n{}", stage.text());
    ran("repaired").unwrap();

    // And back to the provider, without anything of Bascule's.
    let ejected = stage.bascule(&["eject", consumer, "--yes"]);
    assert_eq!(ejected.code, Some(0), "{ejected}\n{}", stage.text());
    for (path, text) in stage.filled(&spare) {
        assert_eq!(
            std::fs::read_to_string(&path).unwrap(),
            text,
            "{}",
            path.display()
        );
    }
    ran("ejected").unwrap();
}
