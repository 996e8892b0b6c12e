//! Units whose last run failed with words that a provider says to a key that it does not take. The key is
//! suspected then, not dead: somebody else may have been refused.
//!
//! Two programs are run here, while all the rest of this room runs none. Whether a run failed is known to
//! nobody but the manager that runs, and the journal's format belongs to the tool that reads it.
//! Both only read, on the machine that this program runs on and never in another system's tree. A look has
//! one budget of time for all that it asks: what takes longer is killed, what is not asked any more is told.
//! What of a line is shown holds no secret.

use std::{
    collections::BTreeMap,
    io::Read,
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bascule_os::attribution::masked_text;

use super::is_running;
use crate::{
    machine::Machine,
    picture::{Picture, Standing, Suspicion, Trail, UnitUses, Use},
};

/// What providers say to a key that they do not take.
const SIGNS: [&str; 4] = [
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "AccessDenied",
    "403",
];
/// For all questions of one look. Managers and journals answer within milliseconds, unless something is
/// wrong with them; a look is waited for.
const LONGEST: Duration = Duration::from_secs(5);
/// What is read of a program's output.
const MOST_BYTES: u64 = 512 << 10;
/// The last lines of a run that are looked through.
const LINES: &str = "--lines=200";
/// Units that are asked about at once, and failed ones whose journal is read.
const MOST_UNITS: usize = 256;
const MOST_FAILED: usize = 16;

/// Marks the uses of units that failed so. `picture` knows its units until it is settled.
pub(crate) fn look(machine: &Machine, picture: &mut Picture) {
    look_for(LONGEST, machine, picture);
}

fn look_for(longest: Duration, machine: &Machine, picture: &mut Picture) {
    if !is_running(machine) {
        return;
    }
    let mut managers: BTreeMap<Option<u32>, BTreeMap<&str, Vec<&UnitUses>>> = BTreeMap::new();
    let units = std::mem::take(&mut picture.units);
    for unit in &units {
        // Another user's manager does not answer.
        if unit.manager.is_none_or(|uid| uid == machine.user.uid) && !unit.name.starts_with('-') {
            let of_manager = managers.entry(unit.manager).or_default();
            if of_manager.len() < MOST_UNITS {
                of_manager.entry(&unit.name).or_default().push(unit);
            }
        }
    }
    let until = Instant::now() + longest;
    for (manager, units) in managers {
        let asking = Asking {
            machine,
            own: manager.is_some(),
            until,
        };
        let names: Vec<_> = units.keys().copied().collect();
        for failed in asking.failed(&names, picture) {
            let of_unit = units.get(failed.name.as_str()).into_iter().flatten();
            let ranges = of_unit.map(|unit| unit.uses.clone());
            let lines = match asking.last_lines(&failed) {
                Ok(lines) if !lines.is_empty() => lines,
                told => {
                    picture.gap(
                        &Trail::configuration(),
                        format!("why {} failed", failed.name),
                        match told {
                            Ok(_) | Err(Unanswered::Silent) => {
                                "the journal of its last run can't be read, or says nothing any more"
                            }
                            Err(Unanswered::Late) => "the journal does not answer",
                            Err(Unanswered::NotAsked) => NO_TIME,
                        },
                        format!(
                            "look at it yourself: journalctl {}--unit {}",
                            asking.option(),
                            failed.name
                        ),
                    );
                    continue;
                }
            };
            let Some(line) = lines.iter().rev().find(|line| is_sign(line)) else {
                continue;
            };
            let mut uses: Vec<&mut Use> = Vec::new();
            let wanted: Vec<_> = ranges.collect();
            for (at, found) in picture.uses.iter_mut().enumerate() {
                if wanted.iter().any(|range| range.contains(&at)) {
                    uses.push(found);
                }
            }
            suspect(&failed.name, line, &mut uses);
        }
    }
}

/// Marks the uses of one unit: those whose key the line names, or all if it names none.
fn suspect(unit: &str, line: &str, uses: &mut [&mut Use]) {
    let mut shown = line.to_owned();
    for found in uses.iter() {
        let secret = found.key.secret.as_ref().map(|secret| secret.expose());
        for secret in secret.into_iter().filter(|secret| !secret.is_empty()) {
            shown = shown.replace(secret, "…");
        }
        shown = shown.replace(found.key.id.as_str(), &found.key.id.masked());
    }
    let suspicion = Suspicion {
        unit: unit.to_owned(),
        line: masked_text(&shown),
    };
    let names = |found: &Use| line.contains(found.key.id.as_str());
    let named = uses.iter().any(|found| names(found));
    for found in uses.iter_mut() {
        let used = matches!(found.standing, Standing::Effective | Standing::Unknown);
        if used && (!named || names(found)) {
            found.suspected = Some(suspicion.clone());
        }
    }
}

/// Whether a line tells that a key was not taken. A number counts by itself only.
fn is_sign(line: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    SIGNS.iter().any(|sign| {
        line.match_indices(sign).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = line[at + sign.len()..].chars().next();
            !sign.starts_with('4') || ![before, after].into_iter().flatten().any(is_part)
        })
    })
}

/// A unit whose last run failed.
struct Failed {
    name: String,
    /// When that began, as systemd writes it; empty if it never did.
    since: String,
}

/// One manager and its journal.
struct Asking<'a> {
    machine: &'a Machine,
    /// Whether it is the manager of who asks, and not the system's.
    own: bool,
    /// The end of the look's budget.
    until: Instant,
}

/// Why a question was not put.
const NO_TIME: &str = "not checked: systemd and the journal had taken all the time that a look has";

impl Asking<'_> {
    fn failed(&self, names: &[&str], picture: &mut Picture) -> Vec<Failed> {
        let mut arguments = vec![
            "show",
            "--property=Id,ActiveState,Result,ExecMainStartTimestamp",
            "--",
        ];
        arguments.extend(names);
        match self.output("systemctl", &arguments) {
            Ok(told) => failed(&told),
            Err(Unanswered::Silent) => Vec::new(),
            Err(unanswered) => {
                picture.gap(
                    &Trail::configuration(),
                    match self.own {
                        true => "which of your units failed",
                        false => "which units of the system failed",
                    },
                    match unanswered {
                        Unanswered::NotAsked => NO_TIME,
                        Unanswered::Silent | Unanswered::Late => "systemd does not answer",
                    },
                    format!("look yourself: systemctl {}--failed", self.option()),
                );
                Vec::new()
            }
        }
    }

    /// What tells a program whose manager is meant.
    const fn option(&self) -> &'static str {
        match self.own {
            true => "--user ",
            false => "",
        }
    }

    fn last_lines(&self, failed: &Failed) -> Result<Vec<String>, Unanswered> {
        let unit = format!("--unit={}", failed.name);
        let since = format!("--since={}", failed.since);
        let mut arguments = vec!["--no-pager", "--quiet", "--output=cat", LINES, &*unit];
        if !failed.since.is_empty() {
            arguments.push(&since);
        }
        let told = self.output("journalctl", &arguments)?;
        Ok(told.lines().map(ToOwned::to_owned).collect())
    }

    /// What a program prints, up to a bound.
    fn output(&self, program: &str, arguments: &[&str]) -> Result<String, Unanswered> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Unanswered::NotAsked);
        }
        let mut command = Command::new(program);
        if self.own {
            command.arg("--user");
        }
        command.args(arguments).env_clear().env("LC_ALL", "C");
        for name in ["PATH", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"] {
            if let Some(value) = self.machine.environment.variable(name) {
                command.env(name, value);
            }
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(|_| Unanswered::Silent)?;
        let told = read(&mut child, left);
        // It has ended, or is of no use any more.
        child.kill().ok();
        let ended = child.wait();
        let told = told.ok_or(Unanswered::Late)?;
        match ended {
            Ok(status) if status.success() || !told.is_empty() => Ok(told),
            _ => Err(Unanswered::Silent),
        }
    }
}

/// Why a program told nothing.
enum Unanswered {
    /// It is not there, or there is nobody to ask.
    Silent,
    /// It took too long.
    Late,
    /// There was no time left to ask.
    NotAsked,
}

/// All that a program prints until it closes its output; `None` when it takes too long.
fn read(child: &mut Child, longest: Duration) -> Option<String> {
    let output = child.stdout.take()?;
    let (done, told) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.take(MOST_BYTES).read_to_end(&mut bytes);
        if read.is_ok() {
            done.send(bytes).ok();
        }
    });
    let bytes = told.recv_timeout(longest).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads what `systemctl show` tells of several units.
fn failed(told: &str) -> Vec<Failed> {
    let mut all = Vec::new();
    for block in told.split("\n\n") {
        let value = |name: &str| {
            let mut lines = block.lines().filter_map(|line| line.split_once('='));
            lines.find_map(|(key, value)| (key == name).then_some(value))
        };
        let failed = value("ActiveState") == Some("failed")
            || value("Result").is_some_and(|result| !["success", ""].contains(&result));
        if let Some(id) = value("Id").filter(|_| failed)
            && all.len() < MOST_FAILED
        {
            all.push(Failed {
                name: id.to_owned(),
                since: value("ExecMainStartTimestamp")
                    .unwrap_or_default()
                    .to_owned(),
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        found::Place,
        picture::{HeldKey, Rank},
    };

    fn used(id: &str, secret: &str) -> Use {
        let mut picture = Picture::default();
        let mut trail = Trail::configuration();
        trail.rank = Rank::Scheduled;
        let place = Place::Variable("AWS_ACCESS_KEY_ID".into());
        let key = HeldKey::read(Some(id), Some(secret), place).unwrap();
        picture.add("environment", &trail, key, Standing::Effective, None);
        picture.uses.remove(0)
    }

    #[test]
    fn only_what_a_provider_says_of_a_key_is_a_sign() {
        for line in [
            "api error InvalidAccessKeyId: The AWS Access Key Id",
            "<Code>SignatureDoesNotMatch</Code>",
            "ERROR: 403 Forbidden",
            "status code: 403, request id",
            "s3:AccessDenied",
        ] {
            assert!(is_sign(line), "{line}");
        }
        for line in [
            "copied 14035 files",
            "photo-403.jpg",
            "404 Not Found",
            "NoSuchKey",
        ] {
            assert!(!is_sign(line), "{line}");
        }
    }

    #[test]
    fn a_line_is_shown_without_ids_and_secrets() {
        let mut found = used("AKIAQ7ZK4M2WX5VT7F3Q", "short-pw");
        let line = "InvalidAccessKeyId AKIAQ7ZK4M2WX5VT7F3Q short-pw wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY0 \
                    --password=x1 https://u:pw9@h/ \u{1b}[31m";
        suspect("a.service", line, &mut [&mut found]);
        let shown = found.suspected.unwrap().line;
        for secret in [
            "AKIAQ7ZK4M2WX5VT",
            "short-pw",
            "wJalr",
            "x1",
            "pw9",
            "\u{1b}",
        ] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.starts_with("InvalidAccessKeyId …7F3Q"), "{shown}");
    }

    #[test]
    fn a_line_that_names_a_key_suspects_no_other() {
        let (mut one, mut two) = (used("AKONE", "s"), used("AKTWO", "s"));
        suspect(
            "a.service",
            "AccessDenied for AKTWO",
            &mut [&mut one, &mut two],
        );
        assert!(one.suspected.is_none() && two.suspected.is_some());
        let mut shadowed = used("AKONE", "s");
        shadowed.standing = Standing::Shadowed { by: "x".into() };
        suspect("a.service", "403", &mut [&mut shadowed, &mut one]);
        assert!(shadowed.suspected.is_none() && one.suspected.is_some());
    }

    /// A machine whose programs of these names are scripts, and a picture with units that use nothing.
    fn asked(
        budget: Duration,
        temp: &std::path::Path,
        scripts: [(&str, &str); 2],
        units: &[&str],
    ) -> Picture {
        use std::os::unix::fs::PermissionsExt;

        for (name, script) in scripts {
            let path = temp.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut environment = crate::Environment::of(None, temp.to_owned());
        let path = format!("{}:/usr/bin:/bin", temp.display());
        environment.set("PATH", path);
        let machine = Machine::local(environment, 1000, bascule_domain::Timestamp::UNIX_EPOCH);
        let mut picture = Picture::default();
        for unit in units {
            picture.units.push(UnitUses {
                manager: None,
                name: (*unit).to_owned(),
                uses: 0..0,
            });
        }
        look_for(budget, &machine, &mut picture);
        picture
    }

    #[test]
    fn all_questions_of_a_look_share_one_budget_and_what_is_not_asked_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let systemctl = "for unit in a b c; do \
                         printf 'Id=%s.service\\nActiveState=failed\\nResult=exit-code\\n\\n' $unit; done";
        let journalctl = format!("echo x >> {}/asked; exec sleep 600", temp.path().display());
        let picture = asked(
            // Far longer than a busy machine needs for a script that ends.
            Duration::from_secs(15),
            temp.path(),
            [("systemctl", systemctl), ("journalctl", &journalctl)],
            &["a.service", "b.service", "c.service"],
        );
        let told: Vec<_> = picture
            .gaps
            .iter()
            .map(|gap| (&*gap.what, &*gap.why, &*gap.remedy))
            .collect();
        let remedy = "look at it yourself: journalctl --unit";
        let expected = [
            ("a", "the journal does not answer"),
            ("b", NO_TIME),
            ("c", NO_TIME),
        ]
        .map(|(unit, why)| {
            let what = format!("why {unit}.service failed");
            (what, why, format!("{remedy} {unit}.service"))
        });
        let expected: Vec<_> = expected
            .iter()
            .map(|(what, why, remedy)| (&**what, *why, &**remedy))
            .collect();
        assert_eq!(told, expected);
        let asked = std::fs::read_to_string(temp.path().join("asked")).unwrap();
        assert_eq!(asked, "x\n", "the others were not asked");
    }

    #[test]
    fn a_manager_that_does_not_answer_is_told() {
        let temp = tempfile::tempdir().unwrap();
        let never = "exec sleep 600";
        let picture = asked(
            Duration::from_secs(1),
            temp.path(),
            [("systemctl", never), ("journalctl", never)],
            &["a.service"],
        );
        let [gap] = &picture.gaps[..] else {
            panic!("{:?}", picture.gaps)
        };
        assert_eq!(gap.what, "which units of the system failed");
        assert_eq!(gap.why, "systemd does not answer");
    }

    #[test]
    fn what_systemd_tells_is_read_unit_by_unit() {
        let told = "Id=a.service\nActiveState=failed\nResult=exit-code\nExecMainStartTimestamp=Thu 2026-11-26 02:00:00 UTC\n\n\
                    Id=b.service\nActiveState=inactive\nResult=success\nExecMainStartTimestamp=\n\n\
                    Id=c.service\nActiveState=activating\nResult=exit-code\nExecMainStartTimestamp=\n";
        let failed = failed(told);
        let names: Vec<_> = failed.iter().map(|failed| &*failed.name).collect();
        assert_eq!(names, ["a.service", "c.service"]);
        assert_eq!(failed[0].since, "Thu 2026-11-26 02:00:00 UTC");
    }
}
