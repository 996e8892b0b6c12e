//! What starts a unit, and when: timers, paths, sockets, targets, and other units.

use std::{borrow::Cow, collections::BTreeMap};

use bascule_formats::{calendar::Calendar, unit::name::UnitName};
use jiff::tz::TimeZone;

use super::{Settings, Units, by_hand};
use crate::{
    jobs::{named_zone, zone},
    machine::Machine,
    picture::{Link, LinkKind, NextRun},
};

/// Units that start units that start units.
const DEEPEST: u32 = 4;
/// Ways to one unit that are told.
const MOST_WAYS: usize = 8;

/// Keys by which a unit starts others, and what the step is called.
const DEPENDENCIES: [(&str, &str); 7] = [
    ("Wants", "wants"),
    ("Requires", "requires"),
    ("BindsTo", "requires"),
    ("Requisite", "requires"),
    ("Upholds", "upholds"),
    ("OnSuccess", "starts when it succeeds"),
    ("OnFailure", "starts when it fails"),
];

/// Everything that starts something.
pub(super) struct Starts<'a> {
    machine: &'a Machine,
    zone: TimeZone,
    /// Whose manager it is; `None` for the system's.
    user: Option<&'a str>,
    /// By the unit that is started.
    by: BTreeMap<String, Vec<Start>>,
}

/// One thing that starts a unit.
#[derive(Clone)]
struct Start {
    /// The unit that does.
    by: String,
    /// What the step is called.
    why: &'static str,
    /// When; `None`: when `by` itself runs.
    when: Option<(bool, NextRun)>,
}

/// A way to a unit.
pub(super) struct Way {
    /// What starts it, the first first.
    pub(super) links: Vec<Link>,
    /// What the step to the unit is called.
    pub(super) why: Cow<'static, str>,
    /// Whether it happens by itself.
    pub(super) scheduled: bool,
    /// When.
    pub(super) next: NextRun,
}

impl<'a> Starts<'a> {
    pub(super) fn new(machine: &'a Machine, user: Option<&'a str>) -> Self {
        Self {
            machine,
            zone: zone(machine),
            user,
            by: BTreeMap::new(),
        }
    }

    /// Notes what a unit starts and what a link has it started by; returns the units it starts.
    pub(super) fn read(
        &mut self,
        name: &str,
        settings: &Settings<'_>,
        units: &Units,
    ) -> Vec<String> {
        let Some(parsed) = UnitName::parse(name) else {
            return Vec::new();
        };
        for by in units.wanted_by(name) {
            let when = by.ends_with(".target").then(|| (true, self.at_target(by)));
            self.add(name, by, "wants", when);
        }
        let mut started = Vec::new();
        let enabled = units.is_enabled(name);
        match parsed.kind {
            "timer" => started.extend(self.trigger(name, "Timer", &["service"], settings, enabled)),
            "path" => started.extend(self.trigger(name, "Path", &["service"], settings, enabled)),
            "automount" => {
                started.extend(self.trigger(name, "Automount", &["mount"], settings, enabled));
            }
            "socket" => {
                started.extend(self.trigger(name, "Socket", &["service"], settings, enabled));
            }
            _ => {}
        }
        for (key, why) in DEPENDENCIES {
            for (setting, _) in settings.list("Unit", key) {
                for other in setting.value.split_ascii_whitespace().take(64) {
                    let other = units.canonical(other);
                    if UnitName::parse(&other).is_some_and(|other| other.kind != "target") {
                        let when = (parsed.kind == "target").then(|| (true, self.at_target(name)));
                        self.add(&other, name, why, when);
                        started.push(other);
                    }
                }
            }
        }
        started
    }

    fn add(&mut self, unit: &str, by: &str, why: &'static str, when: Option<(bool, NextRun)>) {
        let all = self.by.entry(unit.to_owned()).or_default();
        if all.len() < 64 {
            all.push(Start {
                by: by.to_owned(),
                why,
                when,
            });
        }
    }

    fn at_target(&self, target: &str) -> NextRun {
        let stem = target.strip_suffix(".target").unwrap_or(target);
        NextRun::On(match (self.user, stem) {
            (
                None,
                "multi-user" | "graphical" | "default" | "basic" | "sysinit" | "local-fs"
                | "remote-fs" | "network-online",
            ) => "at boot".into(),
            (Some(user), "default" | "graphical-session" | "basic") => {
                format!("when {user} logs in")
            }
            (_, "sleep" | "suspend" | "hibernate") => "when the machine goes to sleep".into(),
            (_, "shutdown" | "reboot" | "poweroff" | "halt" | "exit") => {
                "when the machine is shut down".into()
            }
            _ => format!("when {target} is reached"),
        })
    }

    /// The unit that a timer or its like starts.
    fn trigger(
        &mut self,
        name: &str,
        section: &str,
        kinds: &[&str],
        settings: &Settings<'_>,
        enabled: bool,
    ) -> Option<String> {
        let parsed = UnitName::parse(name)?;
        let named = ["Unit", "Service"]
            .iter()
            .find_map(|key| settings.last(section, key));
        let stem = &name[..name.len() - parsed.kind.len()];
        let unit = match named {
            Some((unit, _)) => self.expanded(name, &unit.value),
            None if section == "Socket"
                && settings
                    .last(section, "Accept")
                    .is_some_and(|(value, _)| is_true(&value.value)) =>
            {
                format!("{}@.service", parsed.prefix)
            }
            None => format!("{stem}{}", kinds.first()?),
        };
        let when = if enabled {
            match section {
                "Timer" => self.elapses(settings),
                "Path" => (true, NextRun::On(on_path(settings))),
                "Automount" => (true, NextRun::On("when somebody looks into it".into())),
                _ => (
                    true,
                    NextRun::On(format!("when somebody connects to {name}")),
                ),
            }
        } else {
            (false, NextRun::Never(format!("{name} is not enabled")))
        };
        self.add(&unit, name, "starts", Some(when));
        Some(unit)
    }

    fn expanded(&self, name: &str, text: &str) -> String {
        let instance = UnitName::parse(name).and_then(|name| name.instance);
        match instance.filter(|instance| !instance.is_empty()) {
            Some(instance) => text.replace("%i", instance),
            None => text.to_owned(),
        }
    }

    /// When a timer elapses next.
    fn elapses(&self, settings: &Settings<'_>) -> (bool, NextRun) {
        const SINCE: [(&str, &str); 5] = [
            ("OnUnitActiveSec", "after it last started"),
            ("OnUnitInactiveSec", "after it last ended"),
            ("OnBootSec", "after boot"),
            ("OnStartupSec", "after boot"),
            ("OnActiveSec", "after the timer is started"),
        ];
        let calendars = settings.list("Timer", "OnCalendar");
        let mut next = None;
        for (setting, _) in &calendars {
            let Ok((calendar, zone)) = Calendar::systemd(&setting.value) else {
                continue;
            };
            let zone = match zone {
                Some(name) => match named_zone(self.machine, name) {
                    Some(zone) => zone,
                    None => continue,
                },
                None => self.zone.clone(),
            };
            let own = calendar.next(self.machine.now, &zone);
            next = [next, own].into_iter().flatten().min();
        }
        if let Some(next) = next {
            return (true, NextRun::At(next));
        }
        let since = SINCE.iter().find_map(|(key, what)| {
            let (setting, _) = settings.last("Timer", key)?;
            let span = &*setting.value;
            let fits = span.len() < 40
                && span
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b" .".contains(&b));
            // A number alone means seconds.
            let span = if span.bytes().all(|b| b.is_ascii_digit()) {
                format!("{span}s")
            } else {
                span.to_owned()
            };
            fits.then(|| format!("{span} {what}"))
        });
        match since {
            Some(since) => (true, NextRun::On(since)),
            None if calendars.is_empty() => (
                true,
                NextRun::Unknown("the timer says nothing of when".into()),
            ),
            None => (
                true,
                NextRun::Unknown("its OnCalendar= never comes, or can't be read".into()),
            ),
        }
    }

    /// The ways to a unit: those that happen by themselves, or one if there are none.
    pub(super) fn ways(&self, unit: &str) -> Vec<Way> {
        let mut ways = self.ways_to(unit, DEEPEST);
        if ways.iter().any(|way| way.scheduled) {
            ways.retain(|way| way.scheduled);
        } else {
            ways.truncate(1);
        }
        ways.truncate(MOST_WAYS);
        if ways.is_empty() {
            let is_template = UnitName::parse(unit).is_some_and(|name| name.is_template());
            ways.push(Way {
                links: Vec::new(),
                why: "is installed".into(),
                scheduled: false,
                next: if is_template {
                    NextRun::Never("no instance of this template is enabled".into())
                } else {
                    by_hand()
                },
            });
        }
        ways
    }

    fn ways_to(&self, unit: &str, depth: u32) -> Vec<Way> {
        let mut ways: Vec<Way> = Vec::new();
        for start in self.by.get(unit).into_iter().flatten() {
            let link = |why: Cow<'static, str>| Link::new(LinkKind::Trigger, start.by.clone(), why);
            match &start.when {
                Some((scheduled, next)) => ways.push(Way {
                    links: vec![link(
                        if *scheduled {
                            "is enabled"
                        } else {
                            "is not enabled"
                        }
                        .into(),
                    )],
                    why: start.why.into(),
                    scheduled: *scheduled,
                    next: next.clone(),
                }),
                None if depth > 0 => {
                    for mut way in self.ways_to(&start.by, depth - 1) {
                        let why = std::mem::replace(&mut way.why, start.why.into());
                        way.links.push(link(why));
                        ways.push(way);
                    }
                }
                None => {}
            }
            if ways.len() > 4 * MOST_WAYS {
                break;
            }
        }
        ways
    }
}

fn is_true(text: &str) -> bool {
    ["1", "yes", "y", "true", "t", "on"]
        .iter()
        .any(|yes| text.eq_ignore_ascii_case(yes))
}

fn on_path(settings: &Settings<'_>) -> String {
    const WHAT: [(&str, &str); 5] = [
        ("PathExists", "exists"),
        ("PathExistsGlob", "exists"),
        ("PathChanged", "changes"),
        ("PathModified", "changes"),
        ("DirectoryNotEmpty", "is not empty"),
    ];
    let found = WHAT.iter().find_map(|(key, what)| {
        let (setting, _) = settings.last("Path", key)?;
        Some(format!("when {} {what}", setting.value))
    });
    found.unwrap_or_else(|| "when a path changes".into())
}
