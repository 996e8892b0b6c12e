//! Progress on stderr: lines that stay, such as a deletion's phases, and figures on one line that a
//! terminal redraws. Without a terminal figures become plain lines, one in a few seconds.

use std::time::{Duration, Instant};

use bascule_domain::{SignedDuration, moment};
use bascule_proto::v1;

use super::{
    Output,
    text::{count, escape, size},
};

const PLAIN_PAUSE: Duration = Duration::from_secs(3);
const NARROWEST: usize = 79;
const ERASE_LINE: &str = "\r\x1b[2K";

/// What is drawn now.
#[derive(Debug)]
pub(crate) struct Progress {
    output: Output,
    drawn: bool,
    last: Option<Instant>,
}

impl Progress {
    pub(crate) const fn new(output: Output) -> Self {
        Self {
            output,
            drawn: false,
            last: None,
        }
    }

    /// A line that stays.
    pub(crate) fn line(&mut self, text: &str) {
        self.clear();
        self.output.status(text);
    }

    /// A survey's figures.
    pub(crate) fn survey(&mut self, survey: &v1::SurveyProgress) {
        self.figures(&figures(survey));
    }

    /// Figures that the next ones replace.
    pub(crate) fn figures(&mut self, text: &str) {
        if self.output.redraws() {
            // A line that wraps can't be erased as one.
            let text: String = text.chars().take(NARROWEST).collect();
            self.output.stderr(&format!("{ERASE_LINE}{text}"));
            self.drawn = true;
        } else if self.last.is_none_or(|last| last.elapsed() >= PLAIN_PAUSE) {
            self.last = Some(Instant::now());
            self.output.status(text);
        }
    }

    /// Takes the figures away before something else is printed.
    pub(crate) fn clear(&mut self) {
        if self.drawn {
            self.output.stderr(ERASE_LINE);
            self.drawn = false;
        }
    }
}

fn figures(survey: &v1::SurveyProgress) -> String {
    let which = if survey.after { "after" } else { "before" };
    let mut text = format!(
        "survey {which}: {}: {}, {}, {:.0} objects/s",
        escape(&survey.bucket),
        count(survey.objects, "object"),
        size(survey.bytes),
        survey.rate.max(0.0)
    );
    let left = survey.expected.saturating_sub(survey.objects);
    if left > 0 && survey.rate > 0.0 {
        let seconds = (left as f64 / survey.rate).ceil();
        text.push_str(&format!(
            ", of about {}, {} left",
            survey.expected,
            moment::span(SignedDuration::from_secs(seconds as i64))
        ));
    }
    text
}

/// What a phase means for the user.
pub(crate) fn phase_line(deletion: &v1::Deletion) -> Option<String> {
    let name = escape(&deletion.connection);
    Some(match deletion.phase() {
        v1::Phase::Listening => format!(
            "deletion {} of {name}: keys are paused, reversibly; whoever still uses them will knock",
            escape(&deletion.id)
        ),
        v1::Phase::Requested => format!(
            "deletion {} of {name}: keys are paused, open requests are being cut",
            escape(&deletion.id)
        ),
        v1::Phase::Drained => "drained: no exchange with the provider is open".to_owned(),
        v1::Phase::Surveyed => {
            "surveyed: the first survey is over, the receipt will say what it found".to_owned()
        }
        v1::Phase::Judged => "judged: erasing the secrets".to_owned(),
        v1::Phase::Finished => "finished: secrets erased, receipt final".to_owned(),
        v1::Phase::Cancelled => format!("cancelled: the keys of {name} work as before"),
        // The reply itself, which is a result; and what this release does not know.
        v1::Phase::Revoked | v1::Phase::Unspecified => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_name_bucket_objects_bytes_and_rate() {
        let survey = v1::SurveyProgress {
            after: true,
            bucket: "pics".into(),
            objects: 2000,
            bytes: 1024,
            rate: 1234.5,
            expected: 0,
        };
        assert_eq!(
            figures(&survey),
            "survey after: pics: 2000 objects, 1.0 KiB, 1234 objects/s"
        );
        let known = v1::SurveyProgress {
            expected: 200_000,
            ..survey
        };
        assert!(
            figures(&known).ends_with(", of about 200000, 2 min 41 s left"),
            "{}",
            figures(&known)
        );
    }
}
