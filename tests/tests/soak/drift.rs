//! When the load is warm, and what has grown since. Pure: it sees figures and nothing else.

/// Figures of one kind, taken one after the other at moments that can be compared.
pub(crate) struct Course(Vec<u64>);

/// How much neighbouring stretches may differ when the load counts as warm, in thousandths.
const LEVEL: u64 = 20;
/// The most that may be gained from warm to the end, in thousandths.
pub(crate) const MOST: i64 = 50;
/// The same for a course of minutes, whose few figures scatter by half of it: without a leak 14 to 67 were
/// seen, and 124 with one of a kilobyte a request.
pub(crate) const MOST_OF_A_SHORT_ONE: i64 = 100;

/// What was gained since the load was warm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drift {
    /// The moment from which on it was warm.
    pub(crate) warm_from: usize,
    /// The median right after that.
    pub(crate) warm: u64,
    /// The median right before the end.
    pub(crate) end: u64,
}

impl Drift {
    /// What was gained, in thousandths of what was there.
    pub(crate) const fn thousandths(&self) -> i64 {
        (self.end as i64 - self.warm as i64) * 1000 / self.warm as i64
    }
}

impl Course {
    pub(crate) const fn new(figures: Vec<u64>) -> Self {
        Self(figures)
    }

    /// The drift over what comes after warming up, which takes a quarter of the course, more while it
    /// still rises, and half of it at most: a leak always rises.
    ///
    /// Panics for fewer than twelve figures, which tell nothing.
    pub(crate) fn drift(&self) -> Drift {
        let figures = &self.0;
        assert!(figures.len() >= 12, "{} figures", figures.len());
        // A stretch is long enough for one odd figure to make no difference.
        let stretch = (figures.len() / 8).max(3);
        let (least, most) = (figures.len() / 4, figures.len() / 2);
        let is_level = |from: &usize| {
            let next = from + stretch;
            let (first, second) = (
                median(&figures[*from..next]),
                median(&figures[next..next + stretch]),
            );
            second * 1000 <= first * (1000 + LEVEL)
        };
        let fits = |from: &usize| from + 2 * stretch <= figures.len();
        let warm_from = (least..most).filter(fits).find(is_level).unwrap_or(most);
        Drift {
            warm_from,
            warm: median(&figures[warm_from..warm_from + stretch]),
            end: median(&figures[figures.len() - stretch..]),
        }
    }
}

/// The middle one; of two, the smaller.
pub(crate) fn median(figures: &[u64]) -> u64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() - 1) / 2]
}

#[test]
fn warming_up_and_single_peaks_are_no_drift_and_a_slow_leak_is() {
    const MIB: u64 = 1 << 20;
    let drift = |figure: fn(u64) -> u64| {
        let figures = (0..30).map(figure).collect();
        Course::new(figures).drift()
    };
    let flat = drift(|_| 40 * MIB);
    assert_eq!((flat.warm_from, flat.thousandths()), (7, 0));
    let warms = drift(|at| (20 + at.min(10) * 2) * MIB);
    assert!(warms.warm_from > 7, "{warms:?}");
    assert_eq!(warms.thousandths(), 0, "{warms:?}");
    let peaks = drift(|at| (40 + (at % 5) / 4 * 20) * MIB);
    assert_eq!(peaks.thousandths(), 0, "{peaks:?}");
    let jitters = drift(|at| 40 * MIB + (at * 7919 % 13) * MIB / 8);
    assert!(jitters.thousandths().abs() < MOST, "{jitters:?}");
    // 200 KiB in each round: a hundred requests of 2 KiB.
    let leaks = drift(|at| 40 * MIB + at * MIB / 5);
    assert!(leaks.thousandths() > MOST, "{leaks:?}");
    // One that is slower than what counts as level is found over the rest.
    let slow = drift(|at| 40 * MIB + at * MIB / 8);
    assert!(slow.thousandths() >= MOST, "{slow:?}");
    let shrinks = drift(|at| (60 - at) * MIB);
    assert!(shrinks.thousandths() < 0, "{shrinks:?}");
}
