//! `[watch]`: whether whole folders are searched, and which; whether servers are asked about keys.

use std::path::PathBuf;

use super::{File, Value};

/// When all folders are searched for ids of dead keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Schedule {
    /// After a key died, and once a day as long as one is dead.
    #[default]
    Daily,
    /// Only when somebody asks.
    Off,
}

impl Schedule {
    /// As it is written.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Daily => "daily",
            Self::Off => "off",
        }
    }
}

/// How sweeps go about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct SweepSettings {
    pub schedule: Schedule,
    /// What is searched; empty: homes, `/etc`, `/opt` and `/srv`.
    pub roots: Vec<PathBuf>,
}

/// Reads the table.
pub(super) fn read(file: &mut File<'_>, value: &Value<'_>) -> (SweepSettings, bool) {
    let (mut settings, mut probe) = (SweepSettings::default(), false);
    for (key, value) in file.table("watch", value) {
        match key.get_ref().as_ref() {
            "sweep" => settings.schedule = file.parse(value, parse_schedule).unwrap_or_default(),
            "sweep_roots" => settings.roots = file.each(value, super::parse_absolute),
            "probe" => probe = file.parse(value, parse_probe).unwrap_or(probe),
            other => file.unknown(key.span().start, "watch", other),
        }
    }
    (settings, probe)
}

fn parse_probe(text: &str) -> Result<bool, String> {
    match text {
        "off" => Ok(false),
        "daily" => Ok(true),
        _ => Err("expected off or daily".to_owned()),
    }
}

fn parse_schedule(text: &str) -> Result<Schedule, String> {
    [Schedule::Daily, Schedule::Off]
        .into_iter()
        .find(|schedule| schedule.as_str() == text)
        .ok_or_else(|| format!("unknown schedule {text:?}; known are daily, off"))
}

#[cfg(test)]
mod tests {
    use super::{super::tests::check, *};

    #[test]
    fn sweeps_are_daily_unless_they_are_switched_off() {
        assert_eq!(check("").unwrap().sweeps, SweepSettings::default());
        let settings = check("[watch]\nsweep = \"off\"\nsweep_roots = [\"/data\", \"/home/x\"]\n");
        let settings = settings.unwrap().sweeps;
        assert_eq!(settings.schedule, Schedule::Off);
        assert_eq!(settings.roots, ["/data", "/home/x"].map(PathBuf::from));
        for bad in ["sweep = \"hourly\"", "sweep_roots = \"data\"", "swep = 1"] {
            let problems = check(&format!("[watch]\n{bad}\n")).unwrap_err();
            assert!(problems[0].starts_with("config.toml:2: "), "{problems:?}");
        }
    }
}
