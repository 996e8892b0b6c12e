//! `bascule check` against a real MinIO: what it says of keys in every state, that it asks nobody
//! without consent and nobody but the server that the configuration names, and that a unit can
//! depend on it. No daemon runs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test says so by panicking"
)]

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    sync::Arc,
    thread,
};

use bascule_tests::{
    Answer, Cli, Home, Minio, Port, Recorder, Terminal,
    cli::{FINDINGS, INCOMPLETE, NOT_FOUND, REFUSED, USAGE},
    home,
    machine::Boot,
    random_hex,
};
use serde_json::Value;

/// A home with configurations, and a MinIO behind a recording proxy.
struct World {
    home: Home,
    minio: Arc<Minio>,
    recorder: Recorder,
    /// Ids and secrets in configurations.
    keys: Vec<(String, String)>,
}

impl World {
    fn new() -> Option<Self> {
        let minio = Minio::shared()?;
        let recorder = Recorder::start(&minio.address());
        Some(Self {
            home: Home::new(),
            minio,
            recorder,
            keys: Vec::new(),
        })
    }

    fn file(&self, path: &str, text: &str) {
        let path = self.home.path("home").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Adds an rclone remote with this key at an endpoint.
    fn remote_at(&mut self, name: &str, (id, secret): (&str, &str), endpoint: &str) {
        let section = format!(
            "[{name}]\ntype = s3\nprovider = Minio\naccess_key_id = {id}\n\
             secret_access_key = {secret}\nendpoint = {endpoint}\n"
        );
        self.file(".config/rclone/rclone.conf", &section);
        self.keys.push((id.to_owned(), secret.to_owned()));
    }

    fn remote(&mut self, name: &str, key: (&str, &str)) {
        let endpoint = self.recorder.endpoint();
        self.remote_at(name, key, &endpoint);
    }

    fn wrapper(&self, name: &str, target: &str) {
        let section = format!("[{name}]\ntype = crypt\nremote = {target}\npassword = xyz\n");
        self.file(".config/rclone/rclone.conf", &section);
    }

    fn check(&self, args: &[&str]) -> Answer {
        let mut all = vec!["check"];
        all.extend(args);
        self.quiet(Cli::new(&self.home).run(&all))
    }

    fn say(&self, args: &[&str]) -> Answer {
        let mut all = vec!["check"];
        all.extend(args);
        self.quiet(Cli::new(&self.home).say(&all))
    }

    /// Nothing that is printed holds a secret, or an id that was not asked for by it.
    fn quiet(&self, answer: Answer) -> Answer {
        for (id, secret) in &self.keys {
            assert!(!answer.text().contains(secret), "{answer}");
            assert!(!answer.text().contains(id), "ids are masked: {answer}");
        }
        answer
    }

    /// The health of the only key that a check is about, and the exit code.
    fn health(&self, reference: &str) -> (String, i32) {
        let answer = self.check(&[reference, "--yes"]);
        let [key] = &answer.json["checked"].as_array().unwrap()[..] else {
            panic!("{answer}");
        };
        (
            key["health"].as_str().unwrap().to_owned(),
            answer.code.unwrap(),
        )
    }

    fn asked(&self) -> usize {
        self.recorder.seen().len()
    }

    /// A user who may list only below a prefix of a bucket.
    fn limited_user(&self, bucket: &str) -> Option<(String, String)> {
        let (id, secret) = (format!("user{}", random_hex(6)), random_hex(20));
        let policy = format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::{bucket}"],"Condition":{{"StringLike":{{"s3:prefix":["mine/*"]}}}}}},{{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["arn:aws:s3:::{bucket}/mine/*"]}}]}}"#
        );
        let file = self.home.write("policy.json", &policy);
        let name = format!("policy{}", random_hex(4));
        self.minio
            .mc(&["admin", "user", "add", "here", &id, &secret])?;
        let file = file.to_str().unwrap();
        self.minio
            .mc(&["admin", "policy", "create", "here", &name, file])?;
        self.minio
            .mc(&["admin", "policy", "attach", "here", &name, "--user", &id])?;
        Some((id, secret))
    }
}

fn pair((id, secret): &(String, String)) -> (&str, &str) {
    (id, secret)
}

/// An address where something answers that is not S3.
fn web_page() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let page = "<html><body>Welcome</body></html>";
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{page}",
                page.len()
            );
        }
    });
    format!("http://{address}")
}

#[test]
fn keys_in_every_state_are_told_apart_and_exit_codes_let_a_job_depend_on_it() {
    let Some(mut world) = World::new() else {
        return;
    };
    let minio = Arc::clone(&world.minio);
    let bucket = minio.bucket();
    let (Some(living), Some(disabled), Some(deleted), Some(limited)) = (
        minio.user(),
        minio.user(),
        minio.user(),
        world.limited_user(&bucket),
    ) else {
        return;
    };
    world.remote("living", pair(&living));
    world.remote("disabled", pair(&disabled));
    world.remote("deleted", pair(&deleted));
    world.remote("limited", pair(&limited));
    world.remote("mistyped", (&living.0, "not-the-secret"));
    let unused = Port::new();
    let stopped = format!("http://{}", unused.address());
    world.remote_at("stopped", pair(&living), &stopped);
    world.remote_at("nowhere", pair(&living), "https://bascule-check.invalid");
    // MinIO's port does not speak TLS here.
    let tls = world.recorder.endpoint().replace("http:", "https:");
    world.remote_at("tls", pair(&living), &tls);
    world.remote_at("page", pair(&living), &web_page());

    for (remote, health) in [
        ("living", "alive"),
        ("disabled", "alive"),
        ("deleted", "alive"),
    ] {
        let reference = format!("rclone:{remote}");
        assert_eq!(world.health(&reference), (health.into(), 0), "{remote}");
    }
    minio.disable(&disabled.0);
    minio.mc(&["admin", "user", "remove", "here", &deleted.0]);
    for (reference, health, code) in [
        ("rclone:living".to_owned(), "alive", 0),
        ("rclone:disabled".into(), "dead", FINDINGS),
        ("rclone:deleted".into(), "dead", FINDINGS),
        ("rclone:mistyped".into(), "wrong-secret", FINDINGS),
        // With rights below a prefix the job works, so it is not held back.
        (format!("rclone:limited:{bucket}/mine"), "denied", 0),
        ("rclone:stopped".into(), "unreachable", INCOMPLETE),
        ("rclone:nowhere".into(), "unreachable", INCOMPLETE),
        ("rclone:tls".into(), "unknown", INCOMPLETE),
        ("rclone:page".into(), "unknown", INCOMPLETE),
    ] {
        assert_eq!(
            world.health(&reference),
            (health.into(), code),
            "{reference}"
        );
    }
    let _ = world.check(&["rclone:missing", "--yes"]).exits(NOT_FOUND);

    let answer = world.check(&["rclone:nowhere", "--yes"]);
    assert_eq!(answer.json["checked"][0]["obstacle"], "dns");
    let answer = world.check(&["rclone:stopped", "--yes"]);
    assert_eq!(answer.json["checked"][0]["obstacle"], "connect");
}

#[test]
fn a_single_check_is_one_line_and_a_wrapped_remote_asks_for_its_own_bucket() {
    let Some(mut world) = World::new() else {
        return;
    };
    let Some(user) = world.minio.user() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.remote("r2", pair(&user));
    world.wrapper("vault", &format!("r2:{bucket}/enc"));
    world.wrapper("gone", "r2:no-such-bucket-here/enc");

    let answer = world.say(&["rclone:vault", "--yes"]).exits(0);
    assert_eq!(answer.stdout.lines().count(), 1, "{answer}");
    assert!(
        answer.stdout.starts_with("rclone:vault: alive: "),
        "{answer}"
    );
    assert!(
        answer.stdout.contains(&world.recorder.endpoint()),
        "{answer}"
    );
    assert!(answer.stdout.contains("rclone.conf:"), "{answer}");
    assert_eq!(answer.stderr, "");
    let seen = world.recorder.seen();
    assert_eq!(seen.len(), 1, "one request: {seen:?}");
    assert!(
        seen[0].target.starts_with(&format!("/{bucket}?")),
        "{seen:?}"
    );
    assert!(seen[0].target.contains("list-type=2") && seen[0].target.contains("max-keys=1"));
    assert!(seen[0].signed_by(&user.0));

    // The key lives, and the bucket is named that does not.
    let answer = world.say(&["rclone:gone", "--yes"]).exits(0);
    assert!(answer.stdout.contains("no-such-bucket-here"), "{answer}");

    // Without a bucket one is asked for that nobody has.
    world.recorder.forget();
    assert_eq!(world.health("rclone:r2"), ("alive".into(), 0));
    let seen = world.recorder.seen();
    assert_eq!(seen.len(), 1);
    assert!(seen[0].target.starts_with("/bascule-check-"), "{seen:?}");
    assert!(seen.iter().all(|seen| !seen.may_mutate()));
}

#[test]
fn a_profile_is_asked_about_at_its_own_endpoint() {
    let Some(mut world) = World::new() else {
        return;
    };
    let Some(user) = world.minio.user() else {
        return;
    };
    world.keys.push(user.clone());
    world.file(
        ".aws/credentials",
        &format!(
            "[work]\naws_access_key_id = {0}\naws_secret_access_key = {1}\n\
             [homeless]\naws_access_key_id = {0}\naws_secret_access_key = {1}\n\
             [session]\naws_access_key_id = {0}\naws_secret_access_key = {1}\naws_session_token = t\n",
            user.0, user.1
        ),
    );
    world.file(
        ".aws/config",
        &format!("[profile work]\nendpoint_url = {0}\n[profile session]\nendpoint_url = {0}\n[profile signs-in]\nsso_start_url = https://x.example\n", world.recorder.endpoint()),
    );
    assert_eq!(world.health("aws:work"), ("alive".into(), 0));
    assert_eq!(world.asked(), 1);

    // No endpoint, and no id of Amazon's: nobody is asked. Nor about a temporary key.
    for (reference, why) in [("aws:homeless", "no server"), ("aws:session", "temporary")] {
        let answer = world.check(&[reference, "--yes"]).exits(INCOMPLETE);
        let key = &answer.json["checked"][0];
        assert_eq!(
            (&key["health"], &key["asked"]),
            (&Value::from("unknown"), &Value::from(false)),
            "{answer}"
        );
        assert!(key["meaning"].as_str().unwrap().contains(why), "{answer}");
    }
    let answer = world.check(&["aws:signs-in", "--yes"]).exits(NOT_FOUND);
    assert!(answer.stderr.contains("SSO"), "{answer}");
    assert_eq!(world.asked(), 1);
}

#[test]
fn all_keys_are_asked_about_once_each_and_a_key_by_its_masked_id() {
    let Some(mut world) = World::new() else {
        return;
    };
    let (Some(living), Some(deleted)) = (world.minio.user(), world.minio.user()) else {
        return;
    };
    world
        .minio
        .mc(&["admin", "user", "remove", "here", &deleted.0]);
    world.remote("one", pair(&living));
    world.remote("two", pair(&living));
    world.wrapper("three", "one:bucket/x");
    world.remote("four", pair(&deleted));
    let endpoint = world.recorder.endpoint();
    world.file(
        ".aws/credentials",
        &format!(
            "[work]\naws_access_key_id = {}\naws_secret_access_key = {}\nendpoint_url = {endpoint}\n",
            living.0, living.1
        ),
    );

    let answer = world.check(&["--all", "--yes"]).exits(FINDINGS);
    let keys = answer.json["checked"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "{answer}");
    assert_eq!(world.asked(), 2, "each once");
    let of = |health: &str| {
        let mut found = keys.iter().filter(|key| key["health"] == health);
        found.next().unwrap_or_else(|| panic!("{answer}"))
    };
    assert_eq!(
        of("alive")["places"].as_array().unwrap().len(),
        3,
        "{answer}"
    );
    assert_eq!(of("alive")["server"], endpoint.as_str());
    let next = of("dead")["next"].as_str().unwrap();
    assert!(next.contains("bascule who …"), "{answer}");

    let table = world.say(&["--all", "--yes"]).exits(FINDINGS);
    for text in [
        "KEY",
        "HEALTH",
        "STANDS AT",
        "alive",
        "dead",
        "rclone.conf:",
        "and 2 more places",
    ] {
        assert!(table.stdout.contains(text), "{text}: {table}");
    }

    let masked = format!("…{}", &deleted.0[deleted.0.len() - 4..]);
    assert_eq!(world.health(&masked), ("dead".into(), FINDINGS));
    let lost = world.check(&["…0000xxxx", "--yes"]).exits(NOT_FOUND);
    assert!(
        !lost.text().contains("0000xxxx"),
        "it may be a secret: {lost}"
    );
}

#[test]
fn what_was_not_looked_at_is_told_and_is_never_fine() {
    let Some(mut world) = World::new() else {
        return;
    };
    world.file(".config/rclone/rclone.conf", "RCLONE_ENCRYPT_V0:\nxyz\n");
    world.keys.clear();
    let answer = world.check(&["--all", "--yes"]).exits(INCOMPLETE);
    assert!(answer.json["checked"].as_array().unwrap().is_empty());
    let why = answer.json["not_checked"][0]["why"].as_str().unwrap();
    assert!(why.contains("encrypted"), "{answer}");
    assert_eq!(world.asked(), 0);
}

#[test]
fn nothing_is_sent_before_somebody_agreed() {
    let Some(mut world) = World::new() else {
        return;
    };
    let user = ("someuser01".to_owned(), random_hex(20));
    world.remote("r2", pair(&user));
    let consent = world.home.path("home/.state/bascule/check-consent");

    for args in [&["rclone:r2"][..], &["--all"], &["someuser01"]] {
        let answer = Cli::new(&world.home).run(&[&["check"], args].concat());
        assert_eq!(answer.code, Some(REFUSED), "{answer}");
        let error = answer.error();
        let next = error["next"].as_str().unwrap();
        assert!(next.starts_with("bascule check "), "{answer}");
        assert!(next.contains("--yes"), "{answer}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(&world.recorder.endpoint()), "{answer}");
        assert!(!answer.text().contains(&user.1));
    }
    let _ = world.say(&["rclone:r2"]).exits(REFUSED);
    assert_eq!(world.asked(), 0);
    // Without anything named there is nothing to agree to.
    let _ = world.check(&[]).exits(USAGE);
    let _ = world.check(&["--yes"]).exits(USAGE);
    let _ = world.check(&["rclone:r2", "--all"]).exits(USAGE);
    // What would show a key to everybody is not taken.
    let string = format!("rclone:r2,secret_access_key={}:", user.1);
    let answer = world.check(&[&string, "--yes"]).exits(USAGE);
    assert!(!answer.text().contains("secret_access_key"), "{answer}");
    assert_eq!(world.asked(), 0);

    let _ = world.check(&["rclone:r2", "--yes"]).exits(FINDINGS);
    assert_eq!(world.asked(), 1);
    assert!(!consent.exists(), "--yes remembers nothing");
    let _ = world.check(&["rclone:r2"]).exits(REFUSED);
    assert_eq!(world.asked(), 1);
}

#[test]
fn a_person_agrees_once_on_a_terminal_and_it_is_remembered_for_just_that() {
    let Some(mut world) = World::new() else {
        return;
    };
    let Some(user) = world.minio.user() else {
        return;
    };
    world.remote("r2", pair(&user));
    world.remote("other", pair(&user));
    let consent = world.home.path("home/.state/bascule/check-consent");
    let on_terminal = |args: &[&str]| {
        let mut command = Cli::new(&world.home).command();
        command.arg("check").args(args);
        Terminal::run(&command)
    };
    let masked = format!("…{}", &user.0[user.0.len() - 4..]);

    let Some(mut terminal) = on_terminal(&["rclone:r2"]) else {
        return;
    };
    terminal.shows(&world.recorder.endpoint());
    terminal.shows(&masked);
    terminal.shows("[y/N]");
    terminal.types("");
    assert_eq!(terminal.ends().code(), Some(REFUSED));
    assert_eq!(world.asked(), 0, "no answer is a no");
    assert!(!consent.exists());

    let mut terminal = on_terminal(&["rclone:r2"]).unwrap();
    terminal.shows("[y/N]");
    terminal.types("y");
    terminal.shows("alive");
    assert_eq!(terminal.ends().code(), Some(0));
    assert_eq!(world.asked(), 1);
    let screen = terminal.screen();
    assert!(
        !screen.contains(&user.1) && !screen.contains(&user.0),
        "{screen}"
    );
    let mode = fs::metadata(&consent).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let kept = fs::read(&consent).unwrap();
    assert!(!home::holds(&kept, &user.1) && !home::holds(&kept, &user.0));

    // From now on it needs no terminal; other keys do.
    let _ = world.check(&["rclone:r2"]).exits(0);
    let _ = world.check(&["rclone:other"]).exits(REFUSED);
    let _ = world.check(&["--all"]).exits(REFUSED);
    let mut terminal = on_terminal(&["--all"]).unwrap();
    terminal.shows("those that come later included");
    terminal.shows("[y/N]");
    terminal.types("yes");
    assert_eq!(terminal.ends().code(), Some(0));
    let _ = world.check(&["rclone:other"]).exits(0);

    // Without an argument it says what could be asked.
    let before = world.asked();
    let mut terminal = on_terminal(&[]).unwrap();
    terminal.shows("bascule check rclone:r2");
    terminal.shows("bascule check --all");
    assert_eq!(terminal.ends().code(), Some(0));
    assert_eq!(world.asked(), before);
}

/// A daemon and its own gateway: no provider is asked, so nobody has to agree.
#[test]
fn a_key_of_the_gateway_is_asked_about_without_consent() {
    let Some(world) = bascule_tests::World::new() else {
        return;
    };
    let bucket = world.minio.bucket();
    world.connect("photos", &[&bucket]);
    let key = world.issue("photos", "laptop");
    world.rclone_config(&key.rclone_section("gate"));
    let cli = world.cli();
    let answer = cli.run(&["check", &format!("rclone:gate:{bucket}")]);
    assert_eq!(answer.json["checked"][0]["health"], "alive", "{answer}");
    let _ = answer.exits(0);
    cli.run(&["key", "revoke", &key.id]).ok();
    let answer = cli.run(&["check", "rclone:gate"]);
    assert_eq!(answer.json["checked"][0]["health"], "dead", "{answer}");
    let _ = answer.exits(FINDINGS);
}

#[test]
fn a_unit_waits_for_a_living_key() {
    let Some(minio) = Minio::shared() else { return };
    let (Some(living), Some(dead)) = (minio.user(), minio.user()) else {
        return;
    };
    minio.mc(&["admin", "user", "remove", "here", &dead.0]);
    let Some(machine) = Boot::new().programs().start() else {
        return;
    };
    let endpoint = minio.endpoint();
    let remote = |name: &str, (id, secret): &(String, String), endpoint: &str| {
        format!(
            "[{name}]\ntype = s3\nprovider = Minio\naccess_key_id = {id}\nsecret_access_key = {secret}\nendpoint = {endpoint}\n"
        )
    };
    let unused = Port::new();
    let stopped = format!("http://{}", unused.address());
    let text = [
        remote("living", &living, &endpoint),
        remote("dead", &dead, &endpoint),
        remote("stopped", &living, &stopped),
    ];
    machine.write("/etc/rclone.conf", &text.concat());
    for (name, expected) in [("living", 0), ("dead", FINDINGS), ("stopped", INCOMPLETE)] {
        machine.install(
            &format!("{name}.service"),
            &format!(
                "[Service]\nType=oneshot\nEnvironment=RCLONE_CONFIG=/etc/rclone.conf\n\
                 ExecStartPre=/usr/local/bin/bascule check rclone:{name} --yes\nExecStart=/usr/bin/touch /run/{name}.ran\n"
            ),
        );
        let started = machine.run(&["systemctl", "start", name]);
        assert_eq!(started.code == Some(0), expected == 0, "{name}: {started}");
        let ran = machine.run(&["test", "-e", &format!("/run/{name}.ran")]);
        assert_eq!(ran.code == Some(0), expected == 0, "{name}");
        machine.run(&["journalctl", "--sync"]).exits(0);
        let log = machine.run(&["journalctl", "--no-pager", "--unit", name]);
        let said = match expected {
            0 => "alive",
            FINDINGS => "dead",
            _ => "unreachable",
        };
        assert!(
            log.stdout.contains(&format!("rclone:{name}: {said}")),
            "{log}"
        );
        for (_, secret) in [&living, &dead] {
            assert!(!log.stdout.contains(secret.as_str()), "{log}");
        }
    }
}
