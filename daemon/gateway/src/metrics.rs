//! Metrics as they are handed out: families of samples, in the terms of Prometheus. How they are
//! written down is nobody's matter here.

/// What kind of figure a family holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows while the daemon runs.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// One figure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: u64,
}

/// Figures of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// Such as `bascule_requests_total`.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// How it moves.
    pub kind: Kind,
    /// The figures.
    pub samples: Vec<Sample>,
}

impl Family {
    /// Without a figure.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str, kind: Kind) -> Self {
        Self {
            name,
            help,
            kind,
            samples: Vec::new(),
        }
    }

    /// Adds a figure.
    pub fn sample(&mut self, labels: Vec<(&'static str, String)>, value: u64) {
        self.samples.push(Sample { labels, value });
    }
}
