//! Jobs of at. Each is a script that begins with all variables of who submitted it, so old keys live
//! on in them.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf};

use jiff::Timestamp;

use super::{listed, owner, refused};
use crate::{
    command,
    environment::Environment,
    found::Place,
    machine::Machine,
    picture::{Link, LinkKind, NextRun, Picture, Rank, Trail},
    read::Text,
};

/// Debian, Red Hat, macOS.
const SPOOLS: [&str; 3] = [
    "/var/spool/cron/atjobs",
    "/var/spool/at",
    "/usr/lib/cron/jobs",
];
const REMEDY: &str = "yours: atq, and at -c NUMBER for each; everybody's: run it as root";

pub(super) fn folders(machine: &Machine) -> Vec<PathBuf> {
    SPOOLS.iter().map(|spool| machine.path(spool)).collect()
}

pub(super) fn look(machine: &Machine, picture: &mut Picture) {
    for spool in folders(machine) {
        for name in listed(&spool, REMEDY, picture) {
            let Some(job) = Job::parse(&name) else {
                continue;
            };
            let path = spool.join(&name);
            let text = match Text::read(&path) {
                Ok(Some(text)) => text,
                Ok(None) => continue,
                Err(error) => {
                    refused(&path, &error, REMEDY, picture);
                    continue;
                }
            };
            picture.files_read += 1;
            let content = match text.as_str() {
                Ok(content) => content,
                Err(error) => {
                    refused(&path, &error, REMEDY, picture);
                    continue;
                }
            };
            let uid = fs::metadata(&path).map(|found| found.uid()).unwrap_or(0);
            let user = machine.user(&uid.to_string());
            let mut environment = match user {
                Some(user) => machine.bare_environment(user),
                None => Environment::of(None, machine.root.clone()),
            };
            environment.root.clone_from(&machine.root);
            let link = Link::new(LinkKind::At, format!("job {}", job.number), "runs");
            let trail = Trail {
                chain: vec![link.at(Place::File {
                    path: path.clone(),
                    line: 1,
                })],
                rank: Rank::Scheduled,
                next_run: Some(job.next(machine.now)),
                user: owner(
                    machine,
                    &user.map_or_else(|| uid.to_string(), |user| user.name.clone()),
                ),
            };
            command::follow_script(content, &path, environment, machine, &trail, picture);
        }
    }
}

/// What a job's file is called: a queue, its number in five digits and minutes since 1970 in eight,
/// both hexadecimal.
struct Job {
    number: u32,
    minutes: i64,
    runs: bool,
}

impl Job {
    fn parse(name: &str) -> Option<Self> {
        let digits = name.get(1..)?;
        let fits = digits.len() == 13 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let queue = name.chars().next()?;
        (fits && (queue.is_ascii_alphabetic() || queue == '=')).then_some(())?;
        Some(Self {
            number: u32::from_str_radix(&digits[..5], 16).ok()?,
            minutes: i64::from_str_radix(&digits[5..], 16).ok()?,
            runs: queue == '=',
        })
    }

    fn next(&self, now: Timestamp) -> NextRun {
        if self.runs {
            return NextRun::On("now".into());
        }
        match Timestamp::from_second(self.minutes.saturating_mul(60)) {
            Ok(time) if time > now => NextRun::At(time),
            Ok(_) => NextRun::On("as soon as at can: its time has passed".into()),
            Err(_) => NextRun::Unknown("its file does not say when".into()),
        }
    }
}
