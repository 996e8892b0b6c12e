use std::{
    io::Write,
    process::{Command as Program, Stdio},
};

use crate::{
    jobs::Source,
    picture::{NextRun, Picture, Rank, Use},
    tree::{Tree, remote},
};

impl Tree {
    /// A property list as Python writes it, from the text of a dictionary.
    fn plist(&self, path: &str, dictionary: &str, binary: bool) {
        self.write(path, "");
        let form = if binary { "FMT_BINARY" } else { "FMT_XML" };
        let text = format!(
            "import plistlib\nwith open({:?}, 'wb') as f:\n    plistlib.dump({dictionary}, f, fmt=plistlib.{form})\n",
            self.path(path).display().to_string()
        );
        let mut python = Program::new("python3")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut script = python.stdin.take().unwrap();
        script.write_all(text.as_bytes()).unwrap();
        drop(script);
        assert!(python.wait().unwrap().success());
    }

    fn agents(&self) -> Picture {
        let mut picture = Picture::default();
        Source::Launchd.look(&self.machine(), &mut picture);
        picture
    }
}

fn told(found: &Use) -> (&str, Rank, Option<NextRun>) {
    (found.key.id.as_str(), found.rank, found.next_run.clone())
}

fn on(what: &str) -> Option<NextRun> {
    Some(NextRun::On(what.into()))
}

#[test]
fn agents_and_daemons_are_read_in_both_forms_and_run_as_who_they_say() {
    for binary in [false, true] {
        let tree = Tree::new();
        tree.plist(
            "/Library/LaunchDaemons/org.example.sync.plist",
            "{'Label': 'org.example.sync', 'ProgramArguments': ['rclone', 'sync', '/srv', 'r:b'], 'UserName': 'bob', \
              'StartCalendarInterval': [{'Hour': 4, 'Minute': 30}, {'Weekday': 5, 'Hour': 3, 'Minute': 0}]}",
            binary,
        );
        tree.plist(
            "/home/ann/Library/LaunchAgents/agent.plist",
            "{'Label': 'agent', 'Program': '/bin/sh', 'ProgramArguments': ['sh', '-c', 'rclone --config own.conf ls r:'], \
              'WorkingDirectory': '~/conf', 'StartInterval': 300, 'RunAtLoad': True}",
            binary,
        );
        tree.write("/home/ann/conf/own.conf", &remote("AKOWN"));
        tree.plist(
            "/Library/LaunchAgents/all.plist",
            "{'Label': 'all', 'ProgramArguments': ['/opt/tool'], 'KeepAlive': {'SuccessfulExit': False}, \
              'EnvironmentVariables': {'AWS_ACCESS_KEY_ID': 'AKVARIABLE', 'AWS_SECRET_ACCESS_KEY': 'hunter2'}}",
            binary,
        );
        let picture = tree.agents();
        assert_eq!(picture.gaps, [], "binary: {binary}");
        let found: Vec<_> = picture.uses.iter().map(told).collect();
        let at = Some(NextRun::At("2026-11-27T03:00:00Z".parse().unwrap()));
        assert_eq!(
            found,
            [
                ("AKBOB", Rank::Scheduled, at),
                (
                    "AKVARIABLE",
                    Rank::Scheduled,
                    on("at login, and whenever it ends")
                ),
                ("AKOWN", Rank::Scheduled, on("at login, or every 300s")),
            ]
        );
        assert_eq!(picture.uses[0].user.as_deref(), Some("bob"));
        assert_eq!(picture.uses[0].chain[0].name, "org.example.sync");
        let place = tree.shown(&picture.uses[1].key.place);
        let line = if binary { 1 } else { 8 };
        assert_eq!(place, format!("/Library/LaunchAgents/all.plist:{line}"));
        assert!(!format!("{picture:?}").contains("hunter2"));
    }
}

#[test]
fn what_launchd_has_switched_off_does_not_run_by_itself_and_what_it_has_switched_on_does() {
    let tree = Tree::new();
    for (label, disabled) in [("off", "False"), ("on", "True"), ("said", "True")] {
        tree.plist(
            &format!("/Library/LaunchDaemons/{label}.plist"),
            &format!("{{'Label': '{label}', 'ProgramArguments': ['rclone', 'ls', 'r:'], 'WatchPaths': ['/srv'], 'Disabled': {disabled}}}"),
            true,
        );
    }
    tree.plist(
        "/private/var/db/com.apple.xpc.launchd/disabled.plist",
        "{'off': True, 'on': False}",
        false,
    );
    let picture = tree.agents();
    assert_eq!(picture.gaps, []);
    let never = |why: &str| Some(NextRun::Never(why.into()));
    let found: Vec<_> = picture.uses.iter().map(told).collect();
    assert_eq!(
        found,
        [
            (
                "AKROOT",
                Rank::Manual,
                never("it is switched off (launchctl disable)")
            ),
            ("AKROOT", Rank::Scheduled, on("when /srv changes")),
            (
                "AKROOT",
                Rank::Manual,
                never("it is switched off (Disabled)")
            ),
        ]
    );
}

#[test]
fn a_list_that_is_broken_is_a_gap_without_its_content() {
    let tree = Tree::new();
    tree.write(
        "/Library/LaunchDaemons/a.plist",
        "<plist><dict><key>hunter2</dict>",
    );
    tree.write("/Library/LaunchDaemons/b.plist", "bplist00hunter2");
    tree.write("/Library/LaunchDaemons/ignored.txt", "hunter2");
    let picture = tree.agents();
    let shown = format!("{picture:?}");
    assert!(
        picture.gaps.len() == 2 && !shown.contains("hunter2"),
        "{shown}"
    );
}
