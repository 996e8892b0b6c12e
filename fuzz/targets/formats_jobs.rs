//! Units, crontabs, fstab, files of variables and calendars.
#![no_main]

use bascule_domain::Timestamp;
use bascule_formats::{
    calendar::Calendar,
    crontab, environment_file, fstab,
    unit::{UnitFile, exec, name::UnitName},
};
use bascule_fuzz::chosen;
use jiff::tz::TimeZone;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = chosen(data) else {
        return;
    };
    let zone = TimeZone::UTC;
    match first % 8 {
        0 => {
            let file = UnitFile::parse(text);
            drop(format!("{file:?}"));
        }
        1 => {
            let _ = (exec::commands(text), exec::words(text));
            drop(exec::substituted(text, |_| Some("value")));
        }
        2 => drop(crontab::parse(text, crontab::Dialect::User)),
        3 => drop(crontab::parse(text, crontab::Dialect::System)),
        4 => {
            drop(fstab::parse(text));
            drop(fstab::mounts(text));
            drop(fstab::options(text));
        }
        5 => {
            use environment_file::Dialect::{Compose, Docker, Systemd};
            for dialect in [Systemd, Docker, Compose] {
                drop(environment_file::parse(text, dialect, |_| Some("outside")));
            }
        }
        6 => {
            if let Ok((calendar, _)) = Calendar::systemd(text) {
                let _ = calendar.next(Timestamp::UNIX_EPOCH, &zone);
            }
            if let Some(name) = UnitName::parse(text) {
                drop((name.template(), name.drop_in_names()));
            }
        }
        _ => {
            let fields: Vec<_> = text.split_whitespace().collect();
            if let Ok(fields) = <&[&str; 5]>::try_from(&fields[..])
                && let Ok(calendar) = Calendar::cron(fields)
            {
                let _ = calendar.next(Timestamp::UNIX_EPOCH, &zone);
            }
        }
    }
});
