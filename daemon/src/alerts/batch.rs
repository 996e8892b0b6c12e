//! News that comes within moments of one another: a few are told one by one, many as one summary.

use std::time::Duration;

use bascule_domain::finding::News;
use bascule_proto::v1;
use bascule_watch::Rank;

use super::alert::{Alert, Named, Summary, Told};
use crate::{
    app::{App, Event},
    rpc,
};

/// How long more news is waited for.
const WINDOW: Duration = Duration::from_secs(2);
/// However long a storm lasts, there is word of it so often.
const LONGEST_WINDOW: Duration = Duration::from_secs(60);
/// So many are told one by one.
const FEW: usize = 5;
/// So many are remembered; what goes beyond is only known to be more.
const KEPT: usize = 2_000;

/// What has come so far.
#[derive(Default)]
pub(super) struct Batch {
    events: Vec<Event>,
    /// The user took note of a finding: nothing to wake anybody for.
    noted: Option<Event>,
    /// Whether events were lost.
    missed: bool,
}

/// How long to gather, longer in a storm.
pub(super) struct Window(Duration);

impl Default for Window {
    fn default() -> Self {
        Self(WINDOW)
    }
}

impl Window {
    pub(super) const fn length(&self) -> Duration {
        self.0
    }

    /// Learns whether there was much within the last one.
    pub(super) fn learn(&mut self, much: bool) {
        self.0 = match much {
            true => (self.0 * 2).min(LONGEST_WINDOW),
            false => WINDOW,
        };
    }
}

impl Batch {
    /// Takes an event, if it is news of a finding that somebody wants to hear of.
    pub(super) fn add(&mut self, event: Event) {
        let wanted = match &event {
            Event::Found(..) => true,
            Event::Consumer(finding, News::Acknowledged) => {
                if finding.found.rank != Rank::Leftover {
                    self.noted = Some(event);
                }
                return;
            }
            // What the user said may stay is not told again, nor when it is gone.
            Event::Consumer(finding, _) => {
                finding.found.rank != Rank::Leftover && finding.record.acknowledged.is_none()
            }
            Event::Gone(_, record) => !record.quiet && record.acknowledged.is_none(),
            Event::Passed(_) | Event::Changed(_) => false,
        };
        if !wanted {
            return;
        }
        if self.events.len() < KEPT {
            self.events.push(event);
        } else {
            self.missed = true;
        }
    }

    /// Notes that events were lost; whether any was news is not known.
    pub(super) fn miss(&mut self) {
        self.missed = true;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.noted.is_none() && !self.missed
    }

    /// Whether nothing else is known of it.
    pub(super) fn is_only_missed(&self) -> bool {
        self.events.is_empty() && self.missed
    }

    /// Whether it is one summary.
    pub(super) fn is_much(&self) -> bool {
        self.events.len() > FEW || self.missed
    }

    /// The alerts of it, in order.
    pub(super) fn alerts(self, app: &App) -> Vec<Alert> {
        let (at, open) = (app.now(), app.consumers().count());
        let alert = |told| Alert::new(at, open, told);
        if self.is_much() {
            let mut summary = Summary {
                missed: self.missed,
                ..Summary::default()
            };
            self.events
                .iter()
                .filter_map(named)
                .for_each(|named| summary.add(named));
            return vec![alert(Told::Summary(summary))];
        }
        let events = self.events.iter().chain(&self.noted);
        events
            .filter_map(|event| told(app, event))
            .map(alert)
            .collect()
    }
}

fn named(event: &Event) -> Option<Named> {
    Some(match event {
        Event::Found(_, finding, news) => Named {
            id: finding.id(),
            news: *news,
            reason: finding.reason.to_string(),
            key: finding.masked.clone(),
        },
        Event::Consumer(finding, news) => Named {
            id: finding.id.to_string(),
            news: *news,
            reason: finding.reason().to_owned(),
            key: finding.found.key.id.masked(),
        },
        Event::Gone(id, _) => Named {
            id: id.to_string(),
            news: News::Resolved,
            reason: String::new(),
            key: String::new(),
        },
        Event::Passed(_) | Event::Changed(_) => return None,
    })
}

fn told(app: &App, event: &Event) -> Option<Told> {
    let (news, finding) = match event {
        Event::Found(_, finding, news) => {
            (*news, rpc::findings::finding(app, finding, Some(*news)))
        }
        Event::Consumer(finding, news) => {
            let mut told = rpc::findings::consumer(app, finding, Some(*news));
            let id = &finding.found.key.id;
            hide(&mut told, id.as_str(), &id.masked());
            (*news, told)
        }
        Event::Gone(id, record) => (News::Resolved, rpc::findings::gone(*id, record)),
        Event::Passed(_) | Event::Changed(_) => return None,
    };
    Some(Told::Finding(news, finding.into()))
}

/// A file, an entry or an argument may be named after the key; it leaves this machine without.
fn hide(finding: &mut v1::Finding, id: &str, masked: &str) {
    let steps = finding.steps.iter_mut();
    let steps = steps.flat_map(|step| [&mut step.name, &mut step.path, &mut step.why]);
    let lists = finding.chain.iter_mut().chain(&mut finding.next);
    for text in steps.chain(lists) {
        if text.contains(id) {
            *text = text.replace(id, masked);
        }
    }
}

#[cfg(test)]
mod tests {
    use bascule_domain::{
        Timestamp,
        finding::{Acknowledgement, Digest, FindingId, Record},
    };

    use super::*;

    fn gone(n: u8, acknowledged: bool, quiet: bool) -> Event {
        let at = Timestamp::UNIX_EPOCH;
        let record = Record {
            first_at: at,
            changed_at: at,
            digest: Digest([n; 8]),
            acknowledged: acknowledged.then(|| Acknowledgement {
                at,
                why: "holiday".into(),
            }),
            places: Vec::new(),
            quiet,
        };
        Event::Gone(FindingId::from_hash([n; 8]), record)
    }

    #[test]
    fn copies_and_what_is_acknowledged_are_no_news() {
        let mut batch = Batch::default();
        batch.add(gone(1, true, false));
        batch.add(gone(2, false, true));
        assert!(batch.is_empty());
        batch.add(gone(3, false, false));
        assert_eq!(batch.events.len(), 1);
    }

    #[test]
    fn five_are_few_and_six_are_many_and_a_storm_can_not_grow() {
        let mut batch = Batch::default();
        for n in 0..5 {
            batch.add(gone(n, false, false));
        }
        assert!(!batch.is_much());
        for _ in 0..3_000 {
            batch.add(gone(9, false, false));
        }
        assert!(batch.is_much());
        assert_eq!(batch.events.len(), KEPT);
    }

    #[test]
    fn a_storm_is_told_of_ever_more_seldom_until_it_ends() {
        let mut window = Window::default();
        for _ in 0..9 {
            window.learn(true);
        }
        assert_eq!(window.length(), LONGEST_WINDOW);
        window.learn(false);
        assert_eq!(window.length(), WINDOW);
    }

    #[test]
    fn an_id_in_a_name_does_not_leave_the_machine() {
        let mut finding = v1::Finding {
            chain: vec!["[AKIAFOUND0001]".into()],
            next: vec!["put it at /k/AKIAFOUND0001.conf:1".into()],
            steps: vec![v1::ChainStep {
                path: "/k/AKIAFOUND0001.conf".into(),
                ..v1::ChainStep::default()
            }],
            ..v1::Finding::default()
        };
        hide(&mut finding, "AKIAFOUND0001", "…0001");
        assert!(!format!("{finding:?}").contains("AKIA"), "{finding:?}");
        assert_eq!(finding.chain, ["[…0001]"]);
    }
}
