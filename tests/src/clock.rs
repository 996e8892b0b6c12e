//! The clocks of a daemon, as a test wants them.

use std::{fs, path::PathBuf};

use crate::{daemon::Start, home::Home};

/// A file that a daemon of a debug build takes its clocks from.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
}

impl Clock {
    /// For a home; both clocks are right.
    #[must_use]
    pub fn new(home: &Home) -> Self {
        let clock = Self {
            file: home.path("clock"),
        };
        clock.set(0, 0, 0);
        clock
    }

    /// A daemon with these clocks.
    #[must_use]
    pub fn start(&self) -> Start {
        Start::new().env("BASCULED_CLOCK", self.file.to_str().expect("a plain path"))
    }

    /// So much time has passed.
    pub fn pass(&self, seconds: i64) {
        self.set(seconds, seconds, 0);
    }

    /// Somebody has set the wall clock.
    pub fn jump(&self, seconds: i64) {
        self.set(seconds, 0, 0);
    }

    /// The seconds by which the wall and the boot clock are ahead, and which boot it is.
    pub fn set(&self, wall: i64, boot: i64, number: u8) {
        // Whole or not at all: the daemon reads it at any time.
        let next = self.file.with_extension("new");
        fs::write(&next, format!("{wall} {boot} {number}")).expect("a file in this home");
        fs::rename(&next, &self.file).expect("a file in this home");
    }
}
