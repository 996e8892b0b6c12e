//! Crash points for tests: the process kills itself right before or right after a journal write.
//! Release builds have none.

use std::fmt;

use bascule_domain::{deletion::Phase, rotation::Step};

/// Which side of the journal write.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Before,
    After,
}

/// What is written.
#[derive(Clone, Copy)]
pub(crate) enum Write {
    /// A deletion reaches a phase: `revoked`.
    Deletion(Phase),
    /// A step of a rotation: `rotation-begun`.
    Rotation(Step),
    /// How far a sweep is, with what it has found: `sweep`.
    Sweep,
}

impl From<Phase> for Write {
    fn from(phase: Phase) -> Self {
        Self::Deletion(phase)
    }
}

impl From<Step> for Write {
    fn from(step: Step) -> Self {
        Self::Rotation(step)
    }
}

impl fmt::Display for Write {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deletion(phase) => f.write_str(phase.as_str()),
            Self::Rotation(step) => f.write_str(step.as_str()),
            Self::Sweep => f.write_str("sweep"),
        }
    }
}

/// Kills the process if `BASCULED_CRASH` names this side and write (`before:revoked`).
pub(crate) fn point(side: Side, write: impl Into<Write>) {
    if cfg!(debug_assertions) {
        let side = match side {
            Side::Before => "before",
            Side::After => "after",
        };
        if std::env::var("BASCULED_CRASH")
            .is_ok_and(|wanted| wanted == format!("{side}:{}", write.into()))
        {
            bascule_os::kill_self();
        }
    }
}
