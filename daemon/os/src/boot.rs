//! The clocks that nobody can set: they count from the machine's start, with its sleep or without.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

/// Since the machine was started, sleep included.
///
/// macOS: `CLOCK_MONOTONIC` goes on in sleep there, so it is the same thing.
#[must_use]
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(CLOCK);
    // Neither part is ever negative.
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or(0),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

/// For so long the machine was awake since this was first asked: the standard library's clock, which
/// counts no sleep on Linux and none on macOS.
#[must_use]
pub fn awake() -> Duration {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    FIRST.elapsed()
}

/// Which boot this is. `None` where the system does not tell, or not yet.
#[must_use]
pub fn boot_id() -> Option<[u8; 16]> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let mut digits = text.bytes().filter_map(|b| char::from(b).to_digit(16));
    let mut id = [0; 16];
    for byte in &mut id {
        let (high, low) = (digits.next()?, digits.next()?);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_goes_on_and_the_boot_stays_the_same() {
        let (first, second) = (since_boot(), since_boot());
        assert!(first <= second && !first.is_zero());
        assert_eq!(boot_id(), boot_id());
        if cfg!(target_os = "linux") {
            assert_ne!(boot_id().unwrap(), [0; 16]);
        }
    }
}
