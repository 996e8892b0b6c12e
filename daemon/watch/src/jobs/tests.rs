use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use jiff::Timestamp;

use super::*;
use crate::{
    picture::{LinkKind, NextRun, Rank, Standing, Use},
    tree::{Tree, remote},
};

impl Tree {
    fn look(&self, source: Source) -> Picture {
        let mut picture = Picture::default();
        source.look(&self.machine(), &mut picture);
        picture
    }

    #[track_caller]
    fn only(&self, source: Source) -> Use {
        let mut picture = self.look(source);
        assert_eq!(picture.gaps, []);
        assert_eq!(picture.uses.len(), 1, "{:?}", picture.uses);
        picture.uses.remove(0)
    }

    /// The steps up to the command, with their places.
    fn chain(&self, found: &Use) -> Vec<String> {
        let jobs = found
            .chain
            .iter()
            .take_while(|link| link.kind < LinkKind::EnvironmentFile);
        jobs.map(|link| {
            let place = link
                .place
                .as_ref()
                .map_or(String::new(), |place| format!(" @{place}"));
            self.shown(&format!(
                "{} {} ({}){place}",
                link.kind.as_str(),
                link.name,
                link.why
            ))
        })
        .collect()
    }
}

fn at(time: &str) -> Option<NextRun> {
    Some(NextRun::At(time.parse().unwrap()))
}

fn on(what: &str) -> Option<NextRun> {
    Some(NextRun::On(what.into()))
}

const TIMERS: &str = "/etc/systemd/system/timers.target.wants";

#[test]
fn an_enabled_timer_starts_a_service_and_tells_when() {
    let tree = Tree::new();
    tree.write(
        "/etc/systemd/system/backup.service",
        "[Service]\nUser=bob\nExecStartPre=/bin/true\nExecStart=/usr/bin/nice rclone sync /srv \\\n  \"r:bucket\"\n",
    );
    tree.write(
        "/usr/lib/systemd/system/backup.timer",
        "[Timer]\nOnCalendar=Thu 12:00\nOnCalendar=\nOnCalendar=Fri 04:00\nOnCalendar=Sat 04:00\n",
    );
    tree.link(
        &format!("{TIMERS}/backup.timer"),
        "/usr/lib/systemd/system/backup.timer",
    );
    let found = tree.only(Source::SystemUnits);
    assert_eq!(found.key.id.as_str(), "AKBOB");
    assert_eq!(
        (found.rank, found.user.as_deref()),
        (Rank::Scheduled, Some("bob"))
    );
    assert_eq!(found.next_run, at("2026-11-27T04:00:00Z"));
    assert_eq!(
        tree.chain(&found),
        [
            "trigger backup.timer (is enabled)",
            "unit backup.service (starts)",
            "command /usr/bin/nice rclone sync /srv r:bucket (ExecStart) @/etc/systemd/system/backup.service:4",
        ]
    );
    // By the clock of the machine.
    tree.write(
        "/usr/lib/systemd/system/backup.timer",
        "[Timer]\nOnCalendar=Fri 04:00 Europe/Nowhere\nOnUnitActiveSec=90\n",
    );
    assert_eq!(
        tree.only(Source::SystemUnits).next_run,
        on("90s after it last started")
    );
}

#[test]
fn a_timer_that_is_not_enabled_and_a_service_that_nothing_starts_are_run_by_hand() {
    let tree = Tree::new();
    tree.write(
        "/etc/systemd/system/a.service",
        "[Service]\nExecStart=rclone ls r:b\n",
    );
    let never = |why: &str| Some(NextRun::Never(why.into()));
    let found = tree.only(Source::SystemUnits);
    assert_eq!(
        (found.rank, found.next_run),
        (Rank::Manual, never("nothing starts it by itself"))
    );
    assert_eq!(
        found.key.id.as_str(),
        "AKROOT",
        "root's home by the list of users"
    );
    tree.write("/etc/systemd/system/a.timer", "[Timer]\nOnCalendar=daily\n");
    let found = tree.only(Source::SystemUnits);
    assert_eq!(
        (found.rank, found.next_run),
        (Rank::Manual, never("a.timer is not enabled"))
    );
    // Masked.
    tree.link("/etc/systemd/system.control/a.service", "/dev/null");
    assert_eq!(tree.look(Source::SystemUnits).uses, []);
}

#[test]
fn drop_ins_count_in_the_order_of_their_names_and_an_empty_value_resets() {
    let tree = Tree::new();
    let folder = "/etc/systemd/system";
    tree.write(
        &format!("{folder}/a-b.service"),
        "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=AKFIRST\nExecStart=/opt/one\n",
    );
    tree.write(
        "/usr/lib/systemd/system/service.d/10-x.conf",
        "[Service]\nExecStart=\nExecStart=/opt/all\n",
    );
    tree.write(
        &format!("{folder}/a-.service.d/20-x.conf"),
        "[Service]\nExecStart=\nExecStart=/opt/prefix\n",
    );
    tree.write(&format!("{folder}/a-b.service.d/20-x.conf"), "[Service]\nEnvironment=\nEnvironment=\"AWS_SECRET_ACCESS_KEY=s\" \\\n  AWS_ACCESS_KEY_ID=AKDROP\nExecStart=\nExecStart=/opt/own\n");
    tree.link(&format!("{folder}/a-b.service.d/30-x.conf"), "/dev/null");
    let found = tree.only(Source::SystemUnits);
    assert_eq!(found.key.id.as_str(), "AKDROP");
    assert_eq!(
        tree.shown(&found.key.place),
        "/etc/systemd/system/a-b.service.d/20-x.conf:4"
    );
    assert!(
        found.chain.iter().any(|link| link.name == "/opt/own"),
        "{:?}",
        found.chain
    );
}

#[test]
fn files_of_variables_win_over_the_unit_and_are_told_when_they_are_missing() {
    let tree = Tree::new();
    tree.write(
        "/etc/systemd/system/a.service",
        "[Service]\nEnvironment=AWS_ACCESS_KEY_ID=AKUNIT X=1\nEnvironmentFile=-/etc/none\nEnvironmentFile=/etc/app/*.env\nEnvironmentFile=/etc/%N.gone\nUnsetEnvironment=X\nExecStart=/opt/app\n",
    );
    tree.write("/etc/app/1.env", "# c\nAWS_ACCESS_KEY_ID='AKFILE'\n");
    tree.write("/etc/app/2.env", "AWS_SECRET_ACCESS_KEY=x\n");
    let picture = tree.look(Source::SystemUnits);
    let [behind, counts] = &picture.uses[..] else {
        panic!("{:?}", picture.uses);
    };
    assert_eq!(counts.key.id.as_str(), "AKFILE");
    assert_eq!(counts.standing, Standing::Effective);
    assert_eq!(tree.shown(&counts.key.place), "/etc/app/1.env:2");
    // What the unit itself sets is told as what it stands behind.
    assert_eq!(behind.key.id.as_str(), "AKUNIT");
    let Standing::Shadowed { by } = &behind.standing else {
        panic!("{behind:?}");
    };
    assert_eq!(tree.shown(by), "/etc/app/1.env:2");
    assert_eq!(picture.gaps.len(), 1, "{:?}", picture.gaps);
    assert!(picture.gaps[0].what.ends_with("/etc/a.gone"));
}

#[test]
fn instances_of_templates_have_their_own_specifiers() {
    let tree = Tree::new();
    let unit = "[Service]\nExecStart=rclone --config=%h/%i.conf ls \"r:%I\"\n[Install]\nWantedBy=default.target\n";
    tree.write("/etc/systemd/user/sync@.service", unit);
    tree.write("/home/ann/one.conf", &remote("AKONE"));
    tree.link(
        "/home/ann/.config/systemd/user/default.target.wants/sync@one.service",
        "/etc/systemd/user/sync@.service",
    );
    let picture = tree.look(Source::UserUnits);
    let found: Vec<_> = picture.uses.iter().collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].key.id.as_str(), found[0].bucket.as_deref()),
        ("AKONE", Some("one"))
    );
    assert_eq!(
        (found[0].rank, &found[0].next_run),
        (Rank::Scheduled, &on("when ann logs in"))
    );
    assert_eq!(found[0].user, None);
}

#[test]
fn users_units_have_their_home_and_their_managers_variables() {
    let tree = Tree::new();
    tree.write(
        "/home/ann/.config/systemd/user/a.service",
        "[Service]\nExecStart=/opt/tool\n",
    );
    tree.write(
        "/home/ann/.config/environment.d/50-s3.conf",
        "AWS_ACCESS_KEY_ID=AKMANAGER\n",
    );
    tree.write(
        "/home/bob/.config/systemd/user/b.service",
        "[Service]\nExecStart=rclone ls r:b\n",
    );
    let picture = tree.look(Source::UserUnits);
    let found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| (found.key.id.as_str(), found.user.as_deref()))
        .collect();
    assert_eq!(found, [("AKMANAGER", None), ("AKBOB", Some("bob"))]);
}

#[test]
fn what_an_enabled_unit_pulls_in_runs_too() {
    let tree = Tree::new();
    let folder = "/etc/systemd/system";
    tree.write(
        &format!("{folder}/main.service"),
        "[Unit]\nOnFailure=tell@%n.service\nWants=side.service\n[Service]\nExecStart=/bin/true\n",
    );
    tree.write(
        &format!("{folder}/side.service"),
        "[Service]\nExecStart=rclone ls r:b\n",
    );
    tree.link(
        &format!("{folder}/multi-user.target.wants/main.service"),
        "../main.service",
    );
    let found = tree.only(Source::SystemUnits);
    assert_eq!(
        (found.rank, &found.next_run),
        (Rank::Scheduled, &on("at boot"))
    );
    assert_eq!(
        tree.chain(&found)[..3],
        [
            "trigger multi-user.target (is enabled)",
            "trigger main.service (wants)",
            "unit side.service (wants)",
        ]
    );
}

#[test]
fn paths_sockets_and_mounts_are_triggers_too() {
    let tree = Tree::new();
    let folder = "/etc/systemd/system";
    tree.write(
        &format!("{folder}/in.path"),
        "[Path]\nPathChanged=/srv/in\nUnit=up.service\n",
    );
    tree.write(
        &format!("{folder}/up.service"),
        "[Service]\nExecStart=:rclone copy /srv/in r:in\n",
    );
    tree.link(
        &format!("{folder}/paths.target.wants/in.path"),
        "../in.path",
    );
    tree.write(&format!("{folder}/mnt-r2.mount"), "[Mount]\nWhat=r:mounted\nWhere=/mnt/r2\nType=rclone\nOptions=rw,config=/home/bob/.config/rclone/rclone.conf\n");
    tree.write(
        &format!("{folder}/mnt-r2.automount"),
        "[Automount]\nWhere=/mnt/r2\n",
    );
    tree.link(
        &format!("{folder}/multi-user.target.wants/mnt-r2.automount"),
        "../mnt-r2.automount",
    );
    let picture = tree.look(Source::SystemUnits);
    assert_eq!(picture.gaps, []);
    let found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| (found.key.id.as_str(), found.next_run.clone()))
        .collect();
    assert_eq!(
        found,
        [
            ("AKBOB", on("when somebody looks into it")),
            ("AKROOT", on("when /srv/in changes")),
        ]
    );
}

#[test]
fn a_broken_unit_is_told_by_its_line_and_never_by_its_content() {
    let tree = Tree::new();
    tree.write(
        "/etc/systemd/system/a.service",
        "[Service]\nExecStart=/opt/x 'hunter2\n",
    );
    fs::write(
        tree.path("/etc/systemd/system/b.service"),
        b"[Service]\nExecStart=\xff\xfe\n",
    )
    .unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(tree.path("/etc/systemd/system/c.service"))
        .status();
    assert!(made.unwrap().success());
    tree.link("/etc/systemd/system/d.service", "d.service");
    let picture = tree.look(Source::SystemUnits);
    let shown = format!("{picture:?}");
    assert!(
        picture.gaps.len() >= 3 && !shown.contains("hunter2"),
        "{shown}"
    );
    assert!(
        picture
            .gaps
            .iter()
            .any(|gap| gap.what.ends_with("a.service:2"))
    );
}

#[test]
fn crontabs_run_with_their_variables_as_their_users() {
    let tree = Tree::new();
    tree.write("/etc/crontab", "SHELL=/bin/bash\n17 3 * * * bob rclone sync /a r:b # x\n25 6 * * * root test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }\n");
    tree.write(
        "/etc/cron.daily/backup",
        "#!/bin/sh\nexport AWS_ACCESS_KEY_ID=AKDAILY\n/opt/tool\n",
    );
    tree.write("/etc/cron.daily/skipped.sh", "#!/bin/sh\nrclone ls r:b\n");
    tree.write(
        "/var/spool/cron/crontabs/ann",
        "AWS_ACCESS_KEY_ID = AKCRON\n@daily /opt/tool %x\n",
    );
    tree.write(
        "/var/spool/cron/crontabs/nobody-known",
        "@daily rclone ls r:b\n",
    );
    let picture = tree.look(Source::Cron);
    assert_eq!(picture.gaps, []);
    let mut found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| {
            (
                found.key.id.as_str(),
                found.next_run.clone(),
                tree.shown(&found.key.place),
            )
        })
        .collect();
    found.sort_by_key(|found| found.0);
    assert_eq!(found[0].0, "AKBOB");
    assert_eq!(found[0].1, at("2026-11-27T03:17:00Z"));
    assert_eq!(
        (found[1].0, &*found[1].2),
        ("AKCRON", "/var/spool/cron/crontabs/ann:1")
    );
    assert_eq!(
        (found[2].0, &found[2].1),
        ("AKDAILY", &at("2026-11-27T06:25:00Z"))
    );
    assert_eq!(found.len(), 3);
    // With anacron it is anacron that runs them.
    tree.write("/usr/sbin/anacron", "");
    tree.write(
        "/etc/anacrontab",
        "HOME=/root\n1\t5\tcron.daily\trun-parts --report /etc/cron.daily\n",
    );
    let picture = tree.look(Source::Cron);
    let daily: Vec<_> = picture
        .uses
        .iter()
        .filter(|found| found.key.id.as_str() == "AKDAILY")
        .collect();
    assert_eq!(daily.len(), 1);
    assert_eq!(daily[0].next_run, on("once a day, by anacron"));
    assert_eq!(
        tree.chain(daily[0])[0],
        "cron anacrontab (runs) @/etc/anacrontab:2"
    );
}

#[test]
fn files_that_cron_passes_over_are_told_with_the_reason() {
    let tree = Tree::new();
    for name in ["good", "with.dot", "open"] {
        tree.write(
            &format!("/etc/cron.d/{name}"),
            "@hourly root rclone ls r:b\n",
        );
    }
    fs::set_permissions(
        tree.path("/etc/cron.d/open"),
        fs::Permissions::from_mode(0o664),
    )
    .unwrap();
    let picture = tree.look(Source::Cron);
    let found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| (found.rank, found.next_run.clone().unwrap()))
        .collect();
    assert_eq!(
        found[0],
        (Rank::Scheduled, at("2026-11-26T11:00:00Z").unwrap())
    );
    for (place, why) in [(1, "write"), (2, "dot")] {
        assert_eq!(found[place].0, Rank::Manual);
        assert!(
            matches!(&found[place].1, NextRun::Never(told) if told.contains(why)),
            "{found:?}"
        );
    }
}

#[test]
fn a_job_of_at_holds_the_variables_of_who_submitted_it() {
    let tree = Tree::new();
    // 0x01d7b9c0 minutes are in 2028.
    tree.write(
        "/var/spool/cron/atjobs/a0000501d7b9c0",
        "#!/bin/sh\n# atrun uid=1000 gid=1000\n# mail ann 0\numask 22\nAWS_ACCESS_KEY_ID=AK\\AT; export AWS_ACCESS_KEY_ID\nPATH=/usr/bin; export PATH\ncd /home/ann || {\n\t echo 'Execution directory inaccessible' >&2\n\t exit 1\n}\n/opt/tool\n",
    );
    tree.write("/var/spool/cron/atjobs/.SEQ", "1");
    let found = tree.only(Source::At);
    assert_eq!(found.key.id.as_str(), "AKAT");
    assert_eq!(
        tree.shown(&found.key.place),
        "/var/spool/cron/atjobs/a0000501d7b9c0:5"
    );
    assert_eq!(
        found.next_run,
        Some(NextRun::At(
            Timestamp::from_second(0x01d7_b9c0 * 60).unwrap()
        ))
    );
    assert_eq!(
        tree.chain(&found)[0],
        "at job 5 (runs) @/var/spool/cron/atjobs/a0000501d7b9c0:1"
    );
}

#[test]
fn mounts_of_fstab_are_jobs() {
    let tree = Tree::new();
    tree.write("/etc/fstab", "/dev/sda1 / ext4 defaults 0 1\nr:data /mnt/a rclone rw,noauto 0 0\nr:data /mnt/b fuse.rclone config=/home/bob/.config/rclone/rclone.conf 0 0\n");
    let picture = tree.look(Source::Mounts);
    assert_eq!(picture.gaps, []);
    let found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| (found.key.id.as_str(), found.rank))
        .collect();
    assert_eq!(
        found,
        [("AKROOT", Rank::Manual), ("AKBOB", Rank::Scheduled)]
    );
    assert_eq!(
        tree.chain(&picture.uses[1])[0],
        "mount /mnt/b (mounts) @/etc/fstab:3"
    );
}

#[test]
fn containers_of_quadlet_see_what_their_volumes_show() {
    let tree = Tree::new();
    tree.write(
        "/home/ann/.config/containers/systemd/sync.container",
        "[Container]\nImage=docker.io/rclone/rclone:1.70\nVolume=/srv/conf:/config/rclone:ro\nExec=sync /data r:bucket\n[Install]\nWantedBy=default.target\n",
    );
    tree.write("/srv/conf/rclone.conf", &remote("AKVOLUME"));
    tree.write(
        "/etc/containers/systemd/app.container",
        "[Container]\nImage=example.org/app\nEnvironment=AWS_ACCESS_KEY_ID=AKCONTAINER\nEnvironmentFile=app.env\n",
    );
    tree.write(
        "/etc/containers/systemd/app.env",
        "AWS_SECRET_ACCESS_KEY=x\n",
    );
    let picture = tree.look(Source::Containers);
    assert_eq!(picture.gaps, []);
    let found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| (found.key.id.as_str(), found.rank))
        .collect();
    assert_eq!(
        found,
        [("AKCONTAINER", Rank::Manual), ("AKVOLUME", Rank::Scheduled)]
    );
    assert!(picture.uses[0].key.secret.is_some());
}

#[test]
fn a_running_process_is_told_with_its_unit_and_when_it_read_a_file_that_has_changed() {
    let tree = Tree::new();
    let proc = tempfile::tempdir().unwrap();
    fs::write(proc.path().join("stat"), "btime 1000\n").unwrap();
    let add = |pid: &str, parent: &str, line: &str, environ: Option<&str>, cgroup: &str| {
        let folder = proc.path().join(pid);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("cmdline"), line).unwrap();
        fs::write(folder.join("status"), "Uid:\t1000\t1000\t1000\t1000\n").unwrap();
        fs::write(
            folder.join("stat"),
            format!("{pid} (x) S {parent} {}", "0 ".repeat(30)),
        )
        .unwrap();
        fs::write(folder.join("cgroup"), cgroup).unwrap();
        if let Some(environ) = environ {
            fs::write(folder.join("environ"), environ).unwrap();
        }
    };
    add(
        "900001",
        "1",
        "rclone\0mount\0r:b\0/mnt\0--s3-session-token=hunter2hunter2\0",
        None,
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/r2.service\n",
    );
    add(
        "900002",
        "900003",
        "/opt/tool\0",
        Some("HOME=/home/ann\0AWS_ACCESS_KEY_ID=AKENV\0"),
        "0::/\n",
    );
    add(
        "900003",
        "1",
        "/opt/parent\0",
        Some("HOME=/home/ann\0AWS_ACCESS_KEY_ID=AKENV\0"),
        "0::/\n",
    );
    let mut picture = Picture::default();
    processes::look(proc.path(), &tree.machine(), &mut picture);
    assert_eq!(picture.gaps, []);
    let found: Vec<_> = picture
        .uses
        .iter()
        .map(|found| (found.key.id.as_str(), found.rank))
        .collect();
    assert_eq!(found, [("AKANN", Rank::Process), ("AKENV", Rank::Process)]);
    let chain = tree.chain(&picture.uses[0]);
    assert_eq!(chain[0], "unit r2.service of user 1000 (runs)");
    assert!(
        chain[1].contains("(process 900001)") && chain[1].contains("restart it"),
        "{chain:?}"
    );
    assert!(!format!("{picture:?}").contains("hunter2"));
    // The one where it was set, not those that inherited it.
    assert!(picture.uses[1].chain[0].name.starts_with("/opt/parent"));
}

#[test]
fn what_is_closed_is_a_gap_with_a_remedy() {
    if bascule_os::effective_uid() == 0 {
        eprintln!("skipped: run by root, who may enter everything");
        return;
    }
    let tree = Tree::new();
    tree.write("/var/spool/cron/crontabs/ann", "@daily rclone ls r:b\n");
    fs::set_permissions(
        tree.path("/var/spool/cron/crontabs"),
        fs::Permissions::from_mode(0o100),
    )
    .unwrap();
    let picture = tree.look(Source::Cron);
    assert!(
        picture.gaps[0].remedy.contains("crontab -l"),
        "{:?}",
        picture.gaps
    );
}

#[test]
fn every_source_names_the_folders_it_reads_and_an_empty_tree_has_no_jobs() {
    let tree = Tree::new();
    let machine = tree.machine();
    let mut picture = Picture::default();
    all(&machine, &mut picture);
    assert_eq!(
        (picture.uses.len(), picture.gaps.len()),
        (0, 0),
        "{:?}",
        picture.gaps
    );
    let folders = folders(&machine);
    for folder in [
        "/etc/systemd/system",
        "/home/ann/.config/systemd/user",
        "/etc/cron.d",
        "/var/spool/cron/atjobs",
        "/etc",
    ] {
        assert!(folders.contains(&tree.path(folder)), "{folder}");
    }
    assert!(
        folders
            .iter()
            .all(|folder| folder.starts_with(tree.root()) && folder != Path::new("/"))
    );
}
