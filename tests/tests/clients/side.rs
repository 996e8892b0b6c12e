//! One of the two ways to the same provider, and what a tool came to on it.

use std::{
    fs, io,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, ScopedJoinHandle},
    time::{Duration, SystemTime},
};

use bascule_tests::{Answer, Home, Issued, Minio, World, cli, tools};
use http::Method;

/// A way to a bucket of its own, with a home of its own.
pub(crate) struct Side {
    pub(crate) home: Home,
    pub(crate) key: Issued,
    pub(crate) bucket: String,
    minio: Arc<Minio>,
    heard: Mutex<Vec<String>>,
}

/// Tells a story on both ways and compares what was heard and what the buckets then hold. The
/// story returns `None` when its tool is not there.
pub(crate) fn same_both_ways(story: impl Fn(&Side) -> Option<()> + Sync) {
    tell(story, |direct, gateway| {
        assert_eq!(direct.objects(), gateway.objects(), "the buckets differ");
    });
}

/// [`same_both_ways`], for tools that never write the same objects twice.
pub(crate) fn same_words_both_ways(story: impl Fn(&Side) -> Option<()> + Sync) {
    tell(story, |_, _| {});
}

fn tell(story: impl Fn(&Side) -> Option<()> + Sync, compare: impl Fn(&Side, &Side)) {
    let Some(world) = World::new() else { return };
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let (story, world) = (&story, &world);
    let named = || thread::Builder::new().name(name.clone());
    let ((direct, there), (gateway, here)) = thread::scope(|scope| {
        let direct = named().spawn_scoped(scope, move || tell_directly(story, world));
        let gateway = named().spawn_scoped(scope, move || {
            let side = Side::gateway(world);
            let told = story(&side);
            (side, told)
        });
        let join = |thread: io::Result<ScopedJoinHandle<'_, _>>| {
            let told = thread.expect("a thread").join();
            told.unwrap_or_else(|panic| panic::resume_unwind(panic))
        };
        (join(direct), join(gateway))
    });
    if there.is_none() || here.is_none() {
        return;
    }
    let (there, here) = (direct.heard(), gateway.heard());
    for (there, here) in there.iter().zip(&here) {
        assert_eq!(
            there, here,
            "directly (left) and through the gateway (right)"
        );
    }
    assert_eq!(there.len(), here.len());
    compare(&direct, &gateway);
}

/// On a machine that is very busy some tools fail by themselves. That says nothing of the gateway,
/// so without it they may try again; through it they may not.
fn tell_directly(story: impl Fn(&Side) -> Option<()>, world: &World) -> (Side, Option<()>) {
    const TRIES: usize = 3;
    let mut tries = (1..=TRIES).map(|_| {
        let side = Side::direct(world);
        panic::catch_unwind(AssertUnwindSafe(|| story(&side))).map(|told| (side, told))
    });
    let mut last = tries.next().expect("a first try");
    while last.is_err()
        && let Some(next) = tries.next()
    {
        last = next;
    }
    last.unwrap_or_else(|panic| panic::resume_unwind(panic))
}

impl Side {
    /// A way with this key to this bucket.
    pub(crate) fn of(world: &World, key: &Issued, bucket: String) -> Self {
        Self {
            home: Home::new(),
            key: key.clone(),
            bucket,
            minio: Arc::clone(&world.minio),
            heard: Mutex::default(),
        }
    }

    fn direct(world: &World) -> Self {
        let (id, secret) = world.minio.credentials();
        let key = Issued {
            id: id.to_owned(),
            secret: secret.to_owned(),
            endpoint: world.minio.endpoint(),
        };
        Self::of(world, &key, world.minio.bucket())
    }

    fn gateway(world: &World) -> Self {
        let bucket = world.minio.bucket();
        world.connect("tool", &[&bucket]);
        let key = world.issue("tool", "tool");
        Self::of(world, &key, bucket)
    }

    /// Host and port.
    pub(crate) fn address(&self) -> &str {
        self.key.endpoint.trim_start_matches("http://")
    }

    /// A program in this home, with the key in the variables that most tools read.
    pub(crate) fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = self.home.command(program);
        command
            .env("AWS_ACCESS_KEY_ID", &self.key.id)
            .env("AWS_SECRET_ACCESS_KEY", &self.key.secret)
            .env("AWS_DEFAULT_REGION", "auto")
            .env("AWS_REGION", "auto")
            .env("AWS_ENDPOINT_URL", &self.key.endpoint)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1")
            .args(args);
        command
    }

    /// A tool from the cache. `None` when it is not there, which was then said.
    pub(crate) fn tool(&self, name: &str, args: &[&str]) -> Option<Command> {
        Some(self.command(&tools::find(name)?, args))
    }

    /// Python with the packages of `tests/requirements.txt`.
    pub(crate) fn python(&self, args: &[&str]) -> Command {
        self.command(&tools::get("python"), args)
    }

    /// A program in Python.
    pub(crate) fn program(&self, name: &str, text: &str, args: &[&str]) -> Command {
        let file = self.home.write(name, text);
        let mut command = self.python(&[file.to_str().expect("a path in UTF-8")]);
        command.args(args);
        command
    }

    /// Runs a command that must succeed.
    #[track_caller]
    pub(crate) fn runs(&self, command: Command) -> Answer {
        self.ends(command, 0)
    }

    /// Runs a command that must succeed, and remembers what it prints, whatever the order.
    #[track_caller]
    pub(crate) fn shows(&self, command: Command) -> Answer {
        let answer = self.runs(command);
        let mut lines: Vec<&str> = answer.stdout.lines().map(str::trim_end).collect();
        lines.sort_unstable();
        self.hears(&lines.join("\n"));
        answer
    }

    /// Runs a command that must end with this code.
    #[track_caller]
    pub(crate) fn ends(&self, command: Command, code: i32) -> Answer {
        self.finishes(command, "").exits(code)
    }

    /// Runs a command with something on its standard input.
    pub(crate) fn finishes(&self, command: Command, input: &str) -> Answer {
        let shown = command
            .get_args()
            .map(|arg| arg.to_string_lossy().into_owned())
            .collect::<Vec<_>>()
            .join(" ");
        let answer = cli::finish(command, input, self.masked(&shown));
        self.hears(&format!("{shown} ended with {:?}", answer.code));
        answer
    }

    /// Runs a command whose arguments only this side has.
    pub(crate) fn finishes_unheard(&self, command: Command) -> Answer {
        cli::finish(command, "", "(a tool)".to_owned())
    }

    /// Remembers what must be the same on both sides.
    pub(crate) fn hears(&self, text: &str) {
        let text = self.masked(text);
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(text);
    }

    fn heard(&self) -> Vec<String> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Without what only this side has.
    fn masked(&self, text: &str) -> String {
        let home = self.home.root().to_str().expect("a path in UTF-8");
        text.replace(&self.bucket, "BUCKET")
            .replace(self.address(), "ADDRESS")
            .replace(&self.key.id, "KEY")
            .replace(home, "HOME")
    }

    /// Every object with all that the provider tells of it, but for times.
    pub(crate) fn objects(&self) -> Vec<String> {
        let s3 = self.minio.s3();
        let listed = s3.list(&self.bucket).unwrap();
        let one = |object: bascule_tests::Object| {
            let head = s3
                .call(
                    Method::HEAD,
                    &format!("/{}/{}", self.bucket, object.key),
                    "",
                )
                .unwrap();
            let mut told: Vec<String> = head
                .headers
                .iter()
                .filter(|(name, _)| {
                    let name = name.as_str();
                    name.starts_with("content-")
                        || name.starts_with("x-amz-meta-") && !name.ends_with("time")
                        || matches!(name, "cache-control" | "expires" | "x-amz-storage-class")
                        || name == "x-amz-tagging-count"
                })
                .map(|(name, value)| {
                    format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
                })
                .collect();
            told.sort();
            format!("{object:?} {} {told:?}", head.status)
        };
        listed.into_iter().map(one).collect()
    }

    /// Writes a file below the work folder, made before the test began.
    pub(crate) fn file(&self, path: &str, bytes: &[u8]) -> PathBuf {
        let path = self.home.path("work").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in this home");
        fs::write(&path, bytes).expect("a file in this home");
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
        fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_modified(then))
            .expect("a file in this home");
        path
    }

    /// A folder of files whose names and sizes tools stumble over. One is larger than a part.
    pub(crate) fn tree(&self, folder: &str) {
        for (name, size) in [
            ("plain.txt", 1_000),
            ("empty", 0),
            ("with space/and more/a b.txt", 10),
            ("plus+and&amp=equals/100%.txt", 20),
            ("tilde~(paren)'quote'!*.txt", 30),
            ("ünïcödé/日本語 😀.txt", 40),
            ("dots/..hidden/...", 50),
            ("large.bin", 6 << 20),
        ] {
            self.file(&format!("{folder}/{name}"), &bytes(name, size));
        }
    }

    /// Every file below a folder of the work folder: its name there and its bytes.
    pub(crate) fn files(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let root = self.home.path("work").join(folder);
        let mut files: Vec<_> = self
            .home
            .files(&format!("work/{folder}"))
            .into_iter()
            .map(|(path, bytes)| {
                let name = path.strip_prefix(&root).expect("a file below the folder");
                (name.to_string_lossy().into_owned(), bytes)
            })
            .collect();
        files.sort();
        files
    }
}

/// Bytes that look random and are the same in every run.
pub(crate) fn bytes(seed: &str, size: usize) -> Vec<u8> {
    let mut state = seed.bytes().fold(7_u64, |state, byte| {
        state.wrapping_mul(31).wrapping_add(u64::from(byte))
    });
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    })
    .take(size)
    .collect()
}
