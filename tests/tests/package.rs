//! The Debian package: what is in it, and what installing, upgrading, removing and purging it does to
//! a machine with a booted systemd.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    reason = "a test says so by panicking, and why it is skipped on its standard error"
)]

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use bascule_tests::{
    Home, Issued, Minio, Port,
    cli::{self, Answer},
    machine::{Boot, Machine},
    tools,
    user::{SERVICE, User},
    wait,
};
use cargo_metadata::{CargoOpt, MetadataCommand};
use serde_json::Value;

const PREVIOUS: &str = "0.1.0~previous";
const STATE: &str = "/var/lib/bascule";

/// Packages of the programs under test, which are packed once.
struct Packages {
    previous: PathBuf,
    present: PathBuf,
    _home: Home,
}

fn packages() -> Option<&'static Packages> {
    static PACKAGES: OnceLock<Option<Packages>> = OnceLock::new();
    let made = || {
        for needed in ["dpkg-shlibdeps", "dpkg-deb", "strip"] {
            if Command::new(needed).arg("--version").output().is_err() {
                eprintln!("skipped: there is no {needed}");
                return None;
            }
        }
        let home = Home::new();
        let pack = |more: &[&str]| {
            let mut build = Command::new(tools::workspace().join("packaging/debian/build"));
            build
                .args(["--profile", "dev", "--programs"])
                .arg(tools::bin_dir())
                .arg("--output")
                .arg(home.root())
                .args(more);
            let built = cli::finish(build, "", "packs".to_owned()).exits(0);
            PathBuf::from(built.stdout.trim())
        };
        Some(Packages {
            previous: pack(&["--version", PREVIOUS]),
            present: pack(&[]),
            _home: home,
        })
    };
    PACKAGES.get_or_init(made).as_ref()
}

/// A machine that sees both packages, with a port of the gateway's that nothing else here uses.
fn machine() -> Option<(Machine, Port)> {
    let packages = packages()?;
    let machine = Boot::new()
        .bind(&packages.previous, "/mnt/previous.deb")
        .bind(&packages.present, "/mnt/present.deb")
        .start()?;
    let port = Port::new();
    let settings = "/etc/systemd/system/bascule-gateway.socket.d";
    machine.run(&["mkdir", settings]).exits(0);
    let listen = format!("[Socket]\nListenStream=\nListenStream={}\n", port.address());
    machine.write(&format!("{settings}/port.conf"), &listen);
    Some((machine, port))
}

fn dpkg(machine: &Machine, arguments: &[&str]) -> Answer {
    machine.run(&[&["dpkg"], arguments].concat())
}

fn mode(machine: &Machine, path: &str) -> String {
    let told = machine.run(&["stat", "-c", "%U:%G %a", path]);
    told.exits(0).stdout.trim().to_owned()
}

/// What no secret of may be left: the longest runs of bytes that an argument can hold.
fn content(machine: &Machine, path: &str) -> OsString {
    let file = format!("/proc/{}/root{path}", machine.leader());
    let bytes = fs::read(&file).unwrap();
    let runs = bytes.split(|byte| matches!(byte, 0 | b'\n'));
    let longest = runs.max_by_key(|run| run.len()).unwrap();
    assert!(longest.len() >= 6, "{path} has nothing to look for");
    OsString::from_vec(longest.to_owned())
}

/// The files of the machine, all disks, that hold one of these.
fn holding(machine: &Machine, markers: &[OsString]) -> BTreeSet<String> {
    let script =
        "find / /run /tmp /var /dev/shm -xdev -type f -print0 | xargs -0 -r grep -laF \"$@\"; true";
    let mut search = machine.command(&["env", "LC_ALL=C", "sh", "-c", script, "sh"]);
    for marker in markers {
        search.arg("-e").arg(marker);
    }
    let found = cli::finish(search, "", "searches the disk".to_owned());
    found.stdout.lines().map(str::to_owned).collect()
}

fn key_files(machine: &Machine) -> Vec<String> {
    let listed = machine.run(&["find", &format!("{STATE}/keys"), "-type", "f"]);
    let listed = listed.exits(0).stdout;
    listed.lines().map(str::to_owned).collect()
}

fn works(key: &Issued, bucket: &str) {
    key.s3().put(bucket, "object", "content").unwrap();
    assert_eq!(key.s3().get(bucket, "object").unwrap().text(), "content");
}

#[test]
fn j5_installed_it_works_at_once_upgraded_it_keeps_all_and_purged_it_leaves_no_secret() {
    let Some((machine, port)) = machine() else {
        return;
    };
    let Some(minio) = Minio::shared() else { return };
    let Some((user, password)) = minio.user() else {
        return;
    };
    let root = User::root(&machine);
    dpkg(&machine, &["--install", "/mnt/previous.deb"]).exits(0);

    // At once, without any further command.
    for unit in [SERVICE, "bascule.socket", "bascule-gateway.socket"] {
        assert_eq!(root.property(unit, "ActiveState"), "active", "{unit}");
        assert_eq!(root.property(unit, "UnitFileState"), "enabled", "{unit}");
    }
    let status = root.bascule(&["status"]).ok();
    assert_eq!(status["connections"], 0, "{status:#}");
    let gateway = format!("http://{}", port.address());
    assert_eq!(status["gateways"][0], gateway.as_str());
    for (path, wanted) in [
        (STATE, "bascule:bascule 700"),
        ("/var/lib/bascule/root.key", "bascule:bascule 600"),
        ("/var/cache/bascule", "bascule:bascule 700"),
        ("/run/bascule", "bascule:bascule 755"),
        ("/run/bascule/bascule.sock", "bascule:bascule 600"),
        ("/usr/bin/basculed", "root:root 755"),
    ] {
        assert_eq!(mode(&machine, path), wanted, "{path}");
    }

    // Storage of both kinds, one of it below the state folder, where the unit lets it write.
    let local = root.key(&format!("{STATE}/storage"));
    works(&local, "pictures");
    let bucket = minio.bucket();
    let endpoint = minio.endpoint();
    let place = ["--provider", "minio", "--endpoint", &endpoint];
    let connect = [&["bascule", "--json", "connect", "r2"][..], &place].concat();
    let more = ["--allow-http", "--bucket", &bucket, "--credentials-stdin"];
    root.run_with(
        &[&connect[..], &more].concat(),
        &format!("{user}\n{password}\n"),
    )
    .ok();
    let issued = root.bascule(&["key", "issue", "r2", "--label", "laptop"]);
    let remote = Issued::of(&issued.ok());
    works(&remote, &bucket);
    let settings = "# mine\n[gateway]\ndrain_seconds = 7\n";
    machine.write("/etc/bascule/config.toml", settings);

    // A user has a daemon of her own.
    let alice = User::alice(&machine);
    alice.service("install", &[]).ok();
    let (ours, hers) = (root.pid(), alice.pid());
    // As if the control socket's unit had been another one before.
    let unit = "/usr/lib/systemd/system/bascule.socket";
    let other = "sed -i 's/^SocketMode=0600$/&\\nBacklog=9/' \"$0\" && systemctl daemon-reload && systemctl restart bascule.socket";
    machine.run(&["sh", "-c", other, unit]).exits(0);
    assert_eq!(root.property("bascule.socket", "Backlog"), "9");
    let bound = |unit: &str| root.property(unit, "InvocationID");
    let before = ["bascule.socket", "bascule-gateway.socket"].map(bound);

    let upgraded = dpkg(&machine, &["--install", "/mnt/present.deb"]).exits(0);
    assert!(upgraded.text().contains("alice"), "{upgraded}");
    wait::until("both daemons to be new ones", || {
        let new = |now: String, before: &str| now != "0" && now != before;
        (new(root.pid(), &ours) && new(alice.pid(), &hers)).then_some(())
    });
    // That one is bound anew, which is said; the other was never given up.
    let renewed = "since their units have changed: bascule.socket\n";
    assert!(upgraded.text().contains(renewed), "{upgraded}");
    assert_ne!(root.property("bascule.socket", "Backlog"), "9");
    assert_ne!(bound("bascule.socket"), before[0]);
    assert_eq!(bound("bascule-gateway.socket"), before[1]);
    machine.run(&["test", "-e", "/run/bascule.before"]).exits(1);
    let status = root.bascule(&["status"]).ok();
    assert_eq!(status["connections"], 2, "{status:#}");
    assert_eq!(status["gateways"][0], gateway.as_str());
    works(&local, "pictures");
    works(&remote, &bucket);
    let kept = machine.run(&["cat", "/etc/bascule/config.toml"]).exits(0);
    assert_eq!(kept.stdout, settings);

    // While a tool depends on it, it stays, whether it is running or not.
    let conf = format!(
        "[r2]\ntype = s3\nprovider = Minio\naccess_key_id = {user}\nsecret_access_key = {password}\nendpoint = {endpoint}\n"
    );
    machine
        .run(&["mkdir", "-p", "/root/.config/rclone"])
        .exits(0);
    machine.write("/root/.config/rclone/rclone.conf", &conf);
    root.bascule(&["adopt", "rclone:r2", "--yes"]).ok();
    for stopped in [false, true] {
        if stopped {
            let units = ["bascule.socket", "bascule-gateway.socket", SERVICE];
            root.systemctl(&[&["stop"][..], &units].concat()).exits(0);
        }
        for verb in ["--remove", "--purge"] {
            let refused = dpkg(&machine, &[verb, "bascule"]);
            assert_ne!(refused.code, Some(0), "{refused}");
            for told in [
                "rclone:r2",
                "bascule eject --all",
                "BASCULE_REMOVE_ANYWAY=1",
            ] {
                assert!(refused.text().contains(told), "{told}: {refused}");
            }
        }
        assert_eq!(root.bascule(&["status"]).ok()["connections"], 2);
        works(&remote, &bucket);
    }
    root.bascule(&["eject", "--all", "--yes"]).ok();
    // The user's own file has the provider's key again, as it had before.
    machine.run(&["rm", "-r", "/root/.config/rclone"]).exits(0);

    // Removed, it is stopped, and everything is there for the next installation.
    let removed = dpkg(&machine, &["--remove", "bascule"]).exits(0);
    for told in ["apt purge bascule", STATE, "alice"] {
        assert!(removed.text().contains(told), "{told}: {removed}");
    }
    assert_eq!(root.property(SERVICE, "LoadState"), "not-found");
    assert!(local.s3().get("pictures", "object").is_err());
    assert_eq!(alice.property(SERVICE, "ActiveState"), "active");
    dpkg(&machine, &["--install", "/mnt/present.deb"]).exits(0);
    assert_eq!(root.property(SERVICE, "UnitFileState"), "enabled");
    works(&remote, &bucket);

    // One of the root key's places is systemd's.
    root.systemctl(&["stop", SERVICE]).exits(0);
    let moved = "mkdir -p -m 700 /etc/credstore && mv /var/lib/bascule/root.key /etc/credstore/bascule.root.key";
    machine.run(&["sh", "-c", moved]).exits(0);
    root.systemctl(&["start", SERVICE]).exits(0);
    let credential = "/etc/credstore/bascule.root.key";
    let files = key_files(&machine);
    assert!(files.len() >= 2, "{files:?}");
    let mut markers = vec![content(&machine, credential)];
    markers.extend(files.iter().map(|file| content(&machine, file)));
    markers.extend([&*user, &password, &local.secret, &remote.secret].map(OsString::from));
    let found = holding(&machine, &markers);
    for file in files.iter().map(String::as_str).chain([credential]) {
        assert!(
            found.contains(file),
            "the search has to find {file}: {found:?}"
        );
    }

    let purged = dpkg(&machine, &["--purge", "bascule"]).exits(0);
    let told = purged.text();
    let before = told.find("destroys all of it").expect(&told);
    assert!(before < told.find("destroying").expect(&told), "{told}");
    assert_eq!(holding(&machine, &markers), BTreeSet::new());
    for gone in [
        "/etc/bascule",
        "/run/bascule",
        "/var/cache/bascule",
        "/etc/systemd/system/sockets.target.wants/bascule.socket",
        "/usr/bin/basculed",
    ] {
        machine.run(&["test", "-e", gone]).exits(1);
    }
    // Somebody's storage is nobody's to delete, and neither is a user's own daemon.
    let left = machine.run(&["find", STATE, "-type", "f"]).exits(0).stdout;
    let storage = format!("{STATE}/storage");
    assert!(
        left.contains(&format!("{storage}/pictures/object")),
        "{left}"
    );
    assert!(
        left.lines().all(|file| file.starts_with(&storage)),
        "{left}"
    );
    assert!(told.contains(&storage), "{told}");
    machine
        .run(&["test", "-e", "/home/alice/.local/state/bascule/store.redb"])
        .exits(0);
}

#[test]
fn j5_a_state_folder_elsewhere_is_purged_of_what_is_bascules_and_a_link_is_not_followed() {
    const ELSEWHERE: &str = "/srv/keys";
    let Some((machine, _)) = machine() else {
        return;
    };
    let root = User::root(&machine);
    dpkg(&machine, &["--install", "/mnt/present.deb"]).exits(0);
    root.systemctl(&["stop", SERVICE]).exits(0);
    let settings = |path: &str| {
        machine.run(&["mkdir", "-p", "/etc/bascule"]).exits(0);
        let text =
            format!("state_dir = \"{path}\"   # on the big disk\n\n[gateway]\ndrain_seconds = 7\n");
        machine.write("/etc/bascule/config.toml", &text);
    };
    let folder = |path: &str| {
        machine
            .run(&[
                "install", "-d", "-m", "700", "-o", "bascule", "-g", "bascule", path,
            ])
            .exits(0);
    };
    settings(ELSEWHERE);
    folder(ELSEWHERE);
    let writes = "[Service]\nReadWritePaths=/srv/keys\n";
    root.install("bascule.service.d/elsewhere.conf", writes);
    root.systemctl(&["start", SERVICE]).exits(0);
    let key = root.key("/srv/keys/storage");
    works(&key, "pictures");
    let listed = machine
        .run(&["find", "/srv/keys/keys", "-type", "f"])
        .exits(0)
        .stdout;
    let root_key = format!("{ELSEWHERE}/root.key");
    let mut markers = vec![content(&machine, &root_key), OsString::from(&key.secret)];
    markers.extend(listed.lines().map(|file| content(&machine, file)));
    assert!(holding(&machine, &markers).contains(&root_key));

    let purged = dpkg(&machine, &["--purge", "bascule"]).exits(0);
    let told = purged.text();
    let before = told
        .find("/var/lib/bascule and /srv/keys, settings in")
        .expect(&told);
    let begins = told.find("destroying connections").expect(&told);
    assert!(before < begins, "{told}");
    assert!(
        told[begins..].contains("/var/lib/bascule and /srv/keys"),
        "{told}"
    );
    assert_eq!(holding(&machine, &markers), BTreeSet::new());
    // What is served as storage in there is nobody's to delete, and named.
    let left = machine.run(&["find", ELSEWHERE, "-type", "f"]).exits(0);
    let left: Vec<_> = left.stdout.lines().collect();
    assert!(
        left.contains(&"/srv/keys/storage/pictures/object"),
        "{left:?}"
    );
    assert!(
        left.iter()
            .all(|file| file.starts_with("/srv/keys/storage/")),
        "{left:?}"
    );
    assert!(
        told.contains("/srv/keys stays") && told.contains("/srv/keys/storage"),
        "{told}"
    );

    // By a link, to a folder that looks like a store, and one that is none.
    for (path, place, because) in [
        ("/srv/link", "/srv/target", "there is a link in its path"),
        ("/srv/else", "/srv/else", "no store of Bascule's is in it"),
    ] {
        dpkg(&machine, &["--install", "/mnt/present.deb"]).exits(0);
        folder("/srv/else");
        folder("/srv/target");
        for file in ["/srv/target/store.redb", "/srv/else/holiday.jpg"] {
            machine.write(file, "redb");
        }
        machine
            .run(&["ln", "-sfn", "/srv/target", "/srv/link"])
            .exits(0);
        settings(path);
        let insists = [
            "env",
            "BASCULE_REMOVE_ANYWAY=1",
            "dpkg",
            "--purge",
            "bascule",
        ];
        let purged = machine.run(&insists).exits(0);
        let told = purged.text();
        assert!(told.contains(because), "{told}");
        for file in ["/srv/target/store.redb", "/srv/else/holiday.jpg"] {
            machine.run(&["test", "-e", file]).exits(0);
        }
        // The command that is named does it.
        let command = told
            .lines()
            .filter_map(|line| line.strip_prefix("bascule:     "))
            .find(|line| line.starts_with("rm -r"))
            .expect(&told);
        machine.run(&["sh", "-c", command]).exits(0);
        machine.run(&["test", "-e", place]).exits(1);
    }
}

#[test]
fn j5_a_daemon_that_cannot_be_asked_is_not_removed_unless_somebody_insists() {
    let Some((machine, _port)) = machine() else {
        return;
    };
    let root = User::root(&machine);
    dpkg(&machine, &["--install", "/mnt/present.deb"]).exits(0);
    root.bascule(&["status"]).ok();
    machine.write("/etc/bascule/config.toml", "nonsense = true\n");
    root.systemctl(&["restart", SERVICE]);
    let refused = dpkg(&machine, &["--purge", "bascule"]);
    assert_ne!(refused.code, Some(0), "{refused}");
    for told in ["what depends on it is not known", "BASCULE_REMOVE_ANYWAY=1"] {
        assert!(refused.text().contains(told), "{told}: {refused}");
    }
    machine.run(&["test", "-x", "/usr/bin/basculed"]).exits(0);

    let insists = [
        "env",
        "BASCULE_REMOVE_ANYWAY=1",
        "dpkg",
        "--purge",
        "bascule",
    ];
    machine.run(&insists).exits(0);
    for gone in [STATE, "/etc/bascule", "/run/bascule", "/usr/bin/basculed"] {
        machine.run(&["test", "-e", gone]).exits(1);
    }
    assert_ne!(machine.run(&["id", "bascule"]).code, Some(0));
}

#[test]
fn an_administrator_who_disabled_it_finds_it_disabled_after_an_upgrade() {
    let Some((machine, _port)) = machine() else {
        return;
    };
    let root = User::root(&machine);
    dpkg(&machine, &["--install", "/mnt/previous.deb"]).exits(0);
    let units = ["bascule.socket", "bascule-gateway.socket", SERVICE];
    root.systemctl(&[&["disable", "--now"][..], &units].concat())
        .exits(0);
    dpkg(&machine, &["--install", "/mnt/present.deb"]).exits(0);
    for unit in units {
        assert_eq!(root.property(unit, "UnitFileState"), "disabled", "{unit}");
        assert_eq!(root.property(unit, "ActiveState"), "inactive", "{unit}");
    }
}

/// The package's files, unpacked.
fn unpacked() -> Option<Home> {
    let package = &packages()?.present;
    let home = Home::new();
    let mut unpack = Command::new("dpkg-deb");
    unpack.arg("--extract").arg(package).arg(home.root());
    let _ = cli::finish(unpack, "", "unpacks".to_owned()).exits(0);
    Some(home)
}

#[test]
fn everything_is_in_its_place() {
    let (Some(home), Some(packages)) = (unpacked(), packages()) else {
        return;
    };
    for file in [
        "usr/bin/bascule",
        "usr/bin/basculed",
        "usr/lib/systemd/system/bascule.service",
        "usr/lib/systemd/user/bascule.service",
        "usr/lib/sysusers.d/bascule.conf",
        "usr/share/man/man1/bascule.1.gz",
        "usr/share/man/man1/bascule-key-issue.1.gz",
        "usr/share/man/man8/basculed.8.gz",
        "usr/share/bash-completion/completions/bascule",
        "usr/share/zsh/vendor-completions/_bascule",
        "usr/share/fish/vendor_completions.d/bascule.fish",
        "usr/share/doc/bascule/examples/config.toml",
        "usr/share/doc/bascule/copyright",
        "usr/share/doc/bascule/changelog.Debian.gz",
    ] {
        assert!(home.path(file).is_file(), "{file}");
    }
    let mut fields = Command::new("dpkg-deb");
    fields.arg("--field").arg(&packages.present);
    let fields = cli::finish(fields, "", "fields".to_owned()).exits(0).stdout;
    let version = env!("CARGO_PKG_VERSION");
    assert!(
        fields.contains(&format!("\nVersion: {version}-")),
        "{fields}"
    );
    assert!(fields.contains("libc6 (>="), "{fields}");
}

/// What Cargo.lock resolves for a program, with nothing that only builds or tests it.
fn resolved(program: &str) -> BTreeSet<(String, String)> {
    let host = Command::new("rustc").arg("-vV").output().unwrap();
    let host = String::from_utf8(host.stdout).unwrap();
    let host = host.lines().find_map(|line| line.strip_prefix("host: "));
    let metadata = MetadataCommand::new()
        .manifest_path(tools::workspace().join("Cargo.toml"))
        .features(CargoOpt::SomeFeatures(Vec::new()))
        .other_options(vec![
            "--locked".to_owned(),
            format!("--filter-platform={}", host.unwrap()),
        ])
        .exec()
        .unwrap();
    let resolve = metadata.resolve.as_ref().unwrap();
    let root = metadata.packages.iter().find(|one| one.name == program);
    let mut waiting = vec![root.unwrap().id.clone()];
    let mut seen = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let node = resolve.nodes.iter().find(|node| node.id == id).unwrap();
        for dependency in &node.deps {
            let normal = |kind: &cargo_metadata::DepKindInfo| {
                kind.kind == cargo_metadata::DependencyKind::Normal
            };
            if dependency.dep_kinds.iter().any(normal) {
                waiting.push(dependency.pkg.clone());
            }
        }
    }
    let listed = metadata
        .packages
        .iter()
        .filter(|one| seen.contains(&one.id));
    let named = listed.map(|one| (one.name.to_string(), one.version.to_string()));
    named.filter(|(name, _)| name != program).collect()
}

#[test]
fn j6_the_package_lists_all_that_its_programs_contain_and_the_gate_checks_it() {
    let Some(home) = unpacked() else { return };
    for program in ["bascule", "basculed"] {
        let file = home.path(&format!("usr/share/doc/bascule/{program}.cdx.json"));
        let text = fs::read_to_string(file).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(list["bomFormat"], "CycloneDX");
        assert_eq!(list["metadata"]["component"]["name"], program);
        let word = |component: &Value, name: &str| component[name].as_str().unwrap().to_owned();
        let listed: BTreeSet<_> = list["components"]
            .as_array()
            .unwrap()
            .iter()
            .inspect(|one| assert!(one["licenses"].is_array(), "{one}"))
            .map(|one| (word(one, "name"), word(one, "version")))
            .collect();
        let missing: Vec<_> = resolved(program).difference(&listed).cloned().collect();
        assert!(missing.is_empty(), "{program}: {missing:?}");
        let locked = fs::read_to_string(tools::workspace().join("Cargo.lock")).unwrap();
        for (name, version) in &listed {
            let entry = format!("name = \"{name}\"\nversion = \"{version}\"");
            assert!(locked.contains(&entry), "{program}: {name} {version}");
        }
        // Nothing tells where it was built.
        let here = tools::workspace().to_str().unwrap();
        assert!(!text.contains(here), "{program}: {here}");
    }
    let gate = fs::read_to_string(tools::workspace().join(".ci/run")).unwrap();
    for check in ["bans licenses sources", "advisories"] {
        assert!(
            gate.lines()
                .any(|line| line.contains("\"$deny\"") && line.contains(check)),
            "{check}"
        );
    }
    assert!(Path::new(tools::workspace()).join("deny.toml").is_file());
}
