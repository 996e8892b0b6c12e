//! Metrics as Prometheus reads them: one text for `bascule metrics` and for whoever scrapes the daemon.

use std::fmt::Write as _;

use crate::v1::{MetricFamily, MetricKind};

/// How it is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The text format, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Form {
    /// That which an `Accept` header asks for.
    #[must_use]
    pub fn accepted(accept: &str) -> Self {
        match accept.contains("application/openmetrics-text") {
            true => Self::OpenMetrics,
            false => Self::Text,
        }
    }

    /// What it is called in a `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The word for a kind.
#[must_use]
pub const fn kind(kind: MetricKind) -> &'static str {
    match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Unspecified => "untyped",
    }
}

/// All families, in their order.
#[must_use]
pub fn exposition(families: &[MetricFamily], form: Form) -> String {
    let mut text = String::new();
    for family in families {
        let kind = match (kind(family.kind()), form) {
            ("untyped", Form::OpenMetrics) => "unknown",
            (kind, _) => kind,
        };
        // There a counter is named without the ending that its samples have.
        let name = match form {
            Form::OpenMetrics if kind == "counter" => {
                family.name.strip_suffix("_total").unwrap_or(&family.name)
            }
            _ => &family.name,
        };
        let help = family.help.replace('\\', "\\\\").replace('\n', "\\n");
        // Writing to a text does not fail.
        match form {
            Form::Text => {
                let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            }
            Form::OpenMetrics => {
                let help = help.replace('"', "\\\"");
                let _ = writeln!(text, "# TYPE {name} {kind}\n# HELP {name} {help}");
            }
        }
        for sample in &family.samples {
            let labels: Vec<_> = sample
                .labels
                .iter()
                .map(|label| format!("{}=\"{}\"", label.name, escaped(&label.value)))
                .collect();
            text.push_str(&family.name);
            if !labels.is_empty() {
                let _ = write!(text, "{{{}}}", labels.join(","));
            }
            let _ = writeln!(text, " {}", sample.value);
        }
    }
    if form == Form::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

fn escaped(value: &str) -> String {
    value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::{MetricLabel, MetricSample};

    fn families() -> [MetricFamily; 1] {
        let label = |name: &str, value: &str| MetricLabel {
            name: name.into(),
            value: value.into(),
        };
        [MetricFamily {
            name: "bascule_requests_total".into(),
            help: "Back\\slash\nand line.".into(),
            kind: MetricKind::Counter.into(),
            samples: vec![
                MetricSample {
                    labels: vec![label("connection", "a\"b\\c\nd"), label("status", "2xx")],
                    value: 3,
                },
                MetricSample {
                    labels: vec![],
                    value: 0,
                },
            ],
        }]
    }

    #[test]
    fn the_text_is_what_prometheus_reads() {
        assert_eq!(
            exposition(&families(), Form::Text),
            "# HELP bascule_requests_total Back\\\\slash\\nand line.\n\
             # TYPE bascule_requests_total counter\n\
             bascule_requests_total{connection=\"a\\\"b\\\\c\\nd\",status=\"2xx\"} 3\n\
             bascule_requests_total 0\n"
        );
    }

    #[test]
    fn open_metrics_names_the_family_and_ends_with_its_mark() {
        let text = exposition(
            &families(),
            Form::accepted("application/openmetrics-text;version=1.0.0,*/*"),
        );
        assert!(
            text.starts_with("# TYPE bascule_requests counter\n"),
            "{text}"
        );
        assert!(text.contains("\nbascule_requests_total 0\n"), "{text}");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        assert_eq!(Form::accepted("*/*"), Form::Text);
    }
}
