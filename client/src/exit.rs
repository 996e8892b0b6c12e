//! The exit codes: what each means, for `--help` and for every verb.

use std::process::ExitCode;

/// How a command ended, for scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done; a deletion's verdict is `intact`.
    Ok = 0,
    /// The daemon, the provider or a file failed.
    Failed = 1,
    /// The command line, or what was given to it, can't be right.
    Usage = 2,
    /// There is no such connection, key, deletion or receipt.
    NotFound = 3,
    /// Something stands in the way; nothing was changed.
    Refused = 4,
    /// No daemon answers at the socket.
    NoDaemon = 5,
    /// The keys are dead, the verdict is not known yet.
    VerdictPending = 6,
    /// Deleted, with a verdict other than `intact`.
    NotIntact = 7,
    /// What could be done is done, and something is left for the user to do.
    StepsRemain = 8,
    /// Something uses a key that is dead, paused or retiring, or whose secret is wrong.
    Findings = 9,
    /// Nothing was found, but not everything could be looked at, or told about.
    Incomplete = 10,
    /// Interrupted before the outcome was known.
    Interrupted = 130,
}

impl Exit {
    /// All codes with their meaning, in order.
    pub const ALL: [(Self, &'static str); 12] = [
        (Self::Ok, "done; of a deletion: verdict intact"),
        (Self::Failed, "the daemon, the provider or a file failed"),
        (
            Self::Usage,
            "the command line, or something given to it, can't be right",
        ),
        (
            Self::NotFound,
            "no such connection, key, deletion or receipt",
        ),
        (
            Self::Refused,
            "refused: something stands in the way (open boxes, a taken name), nothing was changed",
        ),
        (Self::NoDaemon, "no daemon answers; start it with: basculed"),
        (
            Self::VerdictPending,
            "revoked, verdict pending: the keys are dead, the rest completes by itself",
        ),
        (
            Self::NotIntact,
            "deleted, with a verdict other than intact (changed-by-others, missing, unverifiable)",
        ),
        (
            Self::StepsRemain,
            "done as far as it goes by itself; what is printed is left to do (leak)",
        ),
        (
            Self::Findings,
            "something uses a key that is dead, paused or retiring (scan, who), or a key is dead or its secret wrong (check), or something is not well (doctor)",
        ),
        (
            Self::Incomplete,
            "no such use was found, but not everything could be looked at (scan, who), or a server could not be reached or understood (check), or nothing was wrong and not everything could be looked at (doctor)",
        ),
        (
            Self::Interrupted,
            "interrupted; a deletion goes on in the daemon",
        ),
    ];

    /// The code of a deletion that ended with this verdict.
    #[must_use]
    pub fn of_verdict(verdict: &str) -> Self {
        if verdict == "intact" {
            Self::Ok
        } else {
            Self::NotIntact
        }
    }

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table for `--help`.
#[must_use]
pub fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (exit, meaning) in Exit::ALL {
        text.push_str(&format!("  {:>3}  {meaning}\n", exit.code()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_its_own_and_documented() {
        let codes: std::collections::BTreeSet<u8> =
            Exit::ALL.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes.len(), Exit::ALL.len());
        for code in codes {
            assert!(help().contains(&format!("{code:>3}  ")));
        }
    }

    #[test]
    fn only_an_intact_bucket_counts_as_success() {
        assert_eq!(Exit::of_verdict("intact"), Exit::Ok);
        for verdict in [
            "intact-as-sampled",
            "changed-by-others",
            "missing",
            "unverifiable",
            "",
        ] {
            assert_eq!(Exit::of_verdict(verdict), Exit::NotIntact, "{verdict}");
        }
    }
}
