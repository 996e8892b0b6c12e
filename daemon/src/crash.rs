//! Crash points for tests: the process kills itself right before or right after a deletion's
//! journal write. Release builds have none.

use bascule_domain::deletion::Phase;

/// Which side of the journal write.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Before,
    After,
}

/// Kills the process if `BASCULED_CRASH` names this side and phase (`before:revoked`).
pub(crate) fn point(side: Side, phase: Phase) {
    if cfg!(debug_assertions) {
        let side = match side {
            Side::Before => "before",
            Side::After => "after",
        };
        if std::env::var("BASCULED_CRASH")
            .is_ok_and(|wanted| wanted == format!("{side}:{}", phase.as_str()))
        {
            bascule_os::kill_self();
        }
    }
}
