use proptest::prelude::*;

use super::*;
use crate::{
    picture::Use,
    tree::{Tree, remote},
};

impl Tree {
    /// As [`Tree::machine`], with surroundings of ann's own.
    fn with_path(&self) -> Machine {
        let machine = self.machine();
        let mut environment = machine.bare_environment(&machine.user);
        environment.set("PATH", "/usr/local/bin:/usr/bin");
        Machine {
            environment,
            ..machine
        }
    }

    fn picture(&self, arguments: &[&str]) -> Picture {
        let machine = self.with_path();
        let command = Command {
            arguments: arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect(),
            environment: machine.environment.clone(),
        };
        let mut picture = Picture::default();
        follow(&command, &machine, &Trail::configuration(), &mut picture);
        picture
    }

    fn keys(&self, arguments: &[&str]) -> Vec<String> {
        let picture = self.picture(arguments);
        picture
            .uses
            .iter()
            .map(|found| found.key.id.to_string())
            .collect()
    }

    /// The places of a chain, below the tree.
    fn places(&self, found: &Use) -> Vec<String> {
        let places = found.chain.iter().filter_map(|link| link.place.as_ref());
        places.map(|place| self.shown(place)).collect()
    }
}

#[test]
fn wrappers_are_taken_off_and_decide_whose_home_counts() {
    let tree = Tree::new();
    for (line, key) in [
        ("rclone ls r:b", "AKANN"),
        ("nice -n 19 ionice -c2 -n 7 rclone ls r:b", "AKANN"),
        (
            "timeout -k 5 1h flock -n /run/lock chronic rclone ls r:b",
            "AKANN",
        ),
        ("nohup setsid time -p stdbuf -oL rclone ls r:b", "AKANN"),
        (
            "systemd-inhibit --what=sleep --who x systemd-cat -t x rclone ls r:b",
            "AKANN",
        ),
        ("xargs -I {} rclone copy {} r:b", "AKANN"),
        ("sudo rclone ls r:b", "AKROOT"),
        ("sudo -nu bob -- rclone ls r:b", "AKBOB"),
        ("sudo -u bob rclone ls r:b", "AKBOB"),
        ("sudo -ubob rclone ls r:b", "AKBOB"),
        ("doas -u bob rclone ls r:b", "AKBOB"),
        ("runuser -u bob -- rclone ls r:b", "AKBOB"),
        ("su - bob -c rclone\u{a0}ls\u{a0}r:b", "AKBOB"),
        ("su bob -s /bin/sh -c rclone\u{a0}ls\u{a0}r:b", "AKBOB"),
        ("runuser -l bob -c rclone\u{a0}ls\u{a0}r:b", "AKBOB"),
        ("gosu bob:bob rclone ls r:b", "AKBOB"),
        ("env HOME=/root rclone ls r:b", "AKROOT"),
        ("env -u X -i HOME=/home/bob nice rclone ls r:b", "AKBOB"),
        ("systemd-run --user -u x rclone ls r:b", "AKANN"),
        ("systemd-run --uid=bob -p Nice=3 rclone ls r:b", "AKBOB"),
        (
            "bash -euo pipefail -c rclone\u{a0}ls\u{a0}\"$1:b\" x r",
            "AKANN",
        ),
        ("flock /run/lock -c rclone\u{a0}ls\u{a0}r:b", "AKANN"),
        ("exec rclone ls r:b", "AKANN"),
        ("busybox sh -c rclone\u{a0}ls\u{a0}r:b", "AKANN"),
    ] {
        let words: Vec<String> = line
            .split(' ')
            .map(|word| word.replace('\u{a0}', " "))
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(tree.keys(&words), [key], "{line}");
    }
}

#[test]
fn scripts_are_followed_with_the_variables_they_build_up() {
    let tree = Tree::new();
    tree.write("/srv/other.conf", &remote("AKOTHER"));
    tree.write(
        "/etc/backup.env",
        "# c\nRCLONE_CONFIG=/srv/other.conf\nTARGET=r\n",
    );
    tree.write(
        "/usr/local/bin/backup",
        "#!/bin/bash\nset -eu\nset -a\n. /etc/backup.env\nset +a\n\
         OPTS=(--fast-list -v)\nrun() {\n  nice rclone \"${OPTS[@]}\" copy \"$1\" \"${TARGET}:$2\"\n}\n\
         for dir in a b; do\n  run \"/srv/$dir\" \"bucket/$dir\" >/dev/null\ndone\n",
    );
    let picture = tree.picture(&["backup"]);
    assert_eq!(picture.gaps, []);
    assert_eq!(picture.uses.len(), 2);
    let found = &picture.uses[0];
    assert_eq!(found.key.id.as_str(), "AKOTHER");
    assert_eq!(found.bucket.as_deref(), Some("bucket"));
    let names: Vec<_> = found.chain.iter().map(|link| link.kind).collect();
    assert_eq!(
        names[..3],
        [LinkKind::Command, LinkKind::Script, LinkKind::Command]
    );
    assert_eq!(tree.places(found)[0], "/usr/local/bin/backup:8");
}

#[test]
fn only_exported_variables_reach_a_program_and_each_has_its_line() {
    let tree = Tree::new();
    tree.write(
        "/opt/a.sh",
        "KEY=AKSCRIPT\nAWS_ACCESS_KEY_ID=AKNOT\n/opt/tool one\nexport AWS_ACCESS_KEY_ID=$KEY\nAWS_SECRET_ACCESS_KEY=x /opt/tool two\necho no\n",
    );
    let picture = tree.picture(&["sh", "/opt/a.sh"]);
    assert_eq!(picture.uses.len(), 1, "{:?}", picture.uses);
    let found = &picture.uses[0];
    assert_eq!(found.key.id.as_str(), "AKSCRIPT");
    assert!(
        found.key.place.to_string().ends_with("/opt/a.sh:1"),
        "where it is written"
    );
    assert!(
        found
            .chain
            .iter()
            .any(|link| link.name.contains("/opt/tool two"))
    );
}

#[test]
fn scripts_that_lead_back_to_themselves_or_too_deep_end() {
    let tree = Tree::new();
    tree.write("/opt/0.sh", "/opt/1.sh\n/opt/0.sh\nrclone ls r:zero\n");
    tree.write("/opt/1.sh", "#!/bin/sh\n. /opt/2.sh\n/opt/0.sh\n");
    tree.write("/opt/2.sh", "sh /opt/3.sh; rclone ls r:two\n");
    tree.write("/opt/3.sh", "rclone ls r:three\n");
    let picture = tree.picture(&["/opt/0.sh"]);
    let mut buckets: Vec<_> = picture
        .uses
        .iter()
        .filter_map(|found| found.bucket.clone())
        .collect();
    buckets.sort();
    assert_eq!(buckets, ["two", "zero"]);
    assert_eq!(picture.gaps.len(), 1, "{:?}", picture.gaps);
    assert!(picture.gaps[0].what.ends_with("/opt/3.sh"));
    // Functions that call themselves, and values that double.
    tree.write("/opt/f.sh", "f() { f; f; rclone ls r:b; }\nf\n");
    assert!(!tree.keys(&["sh", "/opt/f.sh"]).is_empty());
    let doubling = format!("A=x\n{}rclone ls r:b\n", "A=$A$A\n".repeat(100));
    tree.write("/opt/g.sh", &doubling);
    assert_eq!(tree.keys(&["sh", "/opt/g.sh"]), ["AKANN"]);
}

#[test]
fn what_only_a_run_would_tell_is_no_silence() {
    let tree = Tree::new();
    tree.write(
        "/opt/a.sh",
        "remote=$(pick)\n. \"$(where)/x\"\nrclone ls \"$remote:b\"\n",
    );
    tree.write("/opt/b.py", "#!/usr/bin/env python3\nimport boto3\n");
    tree.write("/opt/c.py", "#!/usr/bin/env python3\nprint(1)\n");
    let picture = tree.picture(&["/opt/a.sh"]);
    assert!(picture.uses.is_empty());
    let whats: Vec<_> = picture.gaps.iter().map(|gap| &*gap.what).collect();
    assert!(
        whats.iter().any(|what| what.ends_with("a.sh:2")),
        "{whats:?}"
    );
    assert_eq!(tree.picture(&["/opt/b.py"]).gaps.len(), 1);
    assert_eq!(tree.picture(&["/opt/c.py"]).gaps, []);
}

#[test]
fn secrets_of_command_lines_are_masked_in_chains() {
    let tree = Tree::new();
    let picture = tree.picture(&[
        "sh",
        "-c",
        "rclone --s3-secret-access-key=hunter2hunter2 ls r:b",
    ]);
    let shown = format!("{picture:?}");
    assert!(
        !picture.uses.is_empty() && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn files_that_are_no_files_are_no_trap() {
    let tree = Tree::new();
    tree.write("/opt/ok.sh", ". /opt/loop\n. /opt/fifo\nrclone ls r:b\n");
    let opt = tree.root().join("opt");
    std::os::unix::fs::symlink("loop", opt.join("loop")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(opt.join("fifo"))
        .status()
        .unwrap();
    assert!(made.success());
    let picture = tree.picture(&["/opt/ok.sh"]);
    assert_eq!(picture.uses.len(), 1);
    assert_eq!(picture.gaps.len(), 2, "{:?}", picture.gaps);
    // An absolute link of another tree leads within it.
    std::os::unix::fs::symlink("/opt/ok.sh", opt.join("linked")).unwrap();
    assert_eq!(tree.keys(&["sh", "/opt/linked"]), ["AKANN"]);
    assert!(Path::new("/opt/ok.sh").symlink_metadata().is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_script_makes_following_panic(
        text in "(if |fi|for x in |do |done|f\\(\\) |f |A=|export |set -a|sudo |env -i |nice |\\$\\(|\\$\\{A|\\}|\\)|\\{ |\"|'|\\$A|\\$@|\\. |/|sh -c |eval |trap |shift|[a-c]{1,2}| |\n|;|-u){0,40}"
    ) {
        let tree = Tree::new();
        let _ = tree.picture(&["sh", "-c", &text]);
    }
}
