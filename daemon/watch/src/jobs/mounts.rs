//! What is mounted from S3: by fstab, by units, and now.

use bascule_formats::fstab::{self, Entry};

use super::{is_running, refused};
use crate::{
    command::{self, Command},
    found::Place,
    machine::Machine,
    picture::{Link, LinkKind, NextRun, Picture, Rank, Trail},
    read::Text,
};

pub(super) fn look(machine: &Machine, picture: &mut Picture) {
    let path = machine.path("/etc/fstab");
    if let Some(text) = read(&path, picture)
        && let Ok(content) = text.as_str()
    {
        for entry in fstab::parse(content) {
            let place = Place::File {
                path: path.clone(),
                line: entry.line,
            };
            let link = Link::new(LinkKind::Mount, entry.target.clone(), "mounts");
            let (rank, next_run) = when(&entry);
            let trail = Trail {
                chain: vec![link.at(place.clone())],
                rank,
                next_run: Some(next_run),
                user: super::owner(machine, "root"),
            };
            follow(&entry, Some(&place), machine, &trail, picture);
        }
    }
    if is_running(machine) {
        mounted(machine, picture);
    }
}

fn read(path: &std::path::Path, picture: &mut Picture) -> Option<Text> {
    match Text::read(path) {
        Ok(text) => {
            picture.files_read += u64::from(text.is_some());
            text
        }
        Err(error) => {
            refused(path, &error, &error.remedy(), picture);
            None
        }
    }
}

/// What the kernel has mounted. The process behind a mount tells more; this is left when that can't
/// be seen.
fn mounted(machine: &Machine, picture: &mut Picture) {
    let path = machine.path("/proc/self/mountinfo");
    let Some(text) = read(&path, picture) else {
        return;
    };
    let Ok(content) = text.as_str() else { return };
    for entry in fstab::mounts(content) {
        if !entry.kind.starts_with("fuse") {
            continue;
        }
        let user = entry.option("user_id").and_then(|uid| machine.user(uid));
        let name = user.map_or("root", |user| user.name.as_str());
        let link = Link::new(LinkKind::Mount, entry.target.clone(), "is mounted now");
        let trail = Trail {
            chain: vec![link],
            rank: Rank::Process,
            next_run: Some(NextRun::On("now, since it is mounted".into())),
            user: super::owner(machine, name),
        };
        // The options are the kernel's, not the program's.
        let bare = Entry {
            options: Vec::new(),
            // rclone puts what was overridden behind the remote's name.
            source: without_braces(&entry.source),
            ..entry
        };
        follow(&bare, None, machine, &trail, picture);
    }
}

fn without_braces(source: &str) -> String {
    match (source.find('{'), source.find("}:")) {
        (Some(from), Some(to)) if from < to => format!("{}{}", &source[..from], &source[to + 1..]),
        _ => source.to_owned(),
    }
}

fn when(entry: &Entry) -> (Rank, NextRun) {
    let looked = || NextRun::On(format!("when somebody looks into {}", entry.target));
    if entry.option("x-systemd.automount").is_some() {
        (Rank::Scheduled, looked())
    } else if entry.option("noauto").is_some() {
        (
            Rank::Manual,
            NextRun::Never("it is mounted by hand (noauto)".into()),
        )
    } else {
        (Rank::Scheduled, NextRun::On("at boot".into()))
    }
}

/// Adds what a mount uses, if it is one of S3.
pub(super) fn follow(
    entry: &Entry,
    place: Option<&Place>,
    machine: &Machine,
    trail: &Trail,
    picture: &mut Picture,
) {
    let (program, source) = match (entry.kind.as_str(), entry.source.split_once('#')) {
        ("rclone" | "fuse.rclone" | "fuse.rclonefs", _) => ("mount.rclone", entry.source.as_str()),
        ("fuse", Some((program @ ("s3fs" | "goofys" | "geesefs" | "rclone"), source))) => {
            match program {
                "rclone" => ("mount.rclone", source),
                _ => (program, source),
            }
        }
        ("fuse.s3fs" | "s3fs", _) => ("s3fs", entry.source.as_str()),
        ("fuse.goofys", _) => ("goofys", entry.source.as_str()),
        ("fuse.geesefs", _) => ("geesefs", entry.source.as_str()),
        ("fuse.mount-s3" | "mount-s3" | "fuse.mountpoint-s3", _) => {
            ("mount-s3", entry.source.as_str())
        }
        _ => return,
    };
    let Some(root) = machine.user("root") else {
        return;
    };
    let mut arguments: Vec<String> = [program, source, entry.target.as_str()]
        .map(ToOwned::to_owned)
        .to_vec();
    for option in &entry.options {
        arguments.extend(["-o".to_owned(), option.clone()]);
    }
    let command = Command {
        arguments,
        environment: machine.bare_environment(root),
    };
    command::follow_at(&command, place, "is mounted by", machine, trail, picture);
}
