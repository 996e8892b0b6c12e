//! How what holds a value shows itself: by name and line. The value may be a secret, and must never
//! reach a log.

use std::fmt;

/// For `Debug`.
pub(crate) fn without_value(
    f: &mut fmt::Formatter<'_>,
    kind: &str,
    name: &str,
    line: u32,
) -> fmt::Result {
    f.debug_struct(kind)
        .field("name", &name)
        .field("line", &line)
        .finish_non_exhaustive()
}

#[cfg(test)]
mod tests {
    use crate::{compose, crontab, environment_file};

    #[test]
    fn no_variable_shows_its_value() {
        let (name, secret, line) = ("AWS_SECRET".to_owned(), "hunter2".to_owned(), 7);
        let shown = [
            format!(
                "{:?}",
                compose::Variable {
                    name: name.clone(),
                    value: Some(secret.clone().into()),
                    source: Some("elsewhere".into()),
                    line,
                }
            ),
            format!(
                "{:?}",
                crontab::Variable {
                    name: name.clone(),
                    value: secret.clone().into(),
                    line,
                }
            ),
            format!(
                "{:?}",
                environment_file::Assignment {
                    name,
                    value: secret.into(),
                    offset: 0,
                    span: 0..0,
                    line,
                }
            ),
        ];
        for shown in shown {
            assert!(
                shown.contains("AWS_SECRET") && shown.contains('7'),
                "{shown}"
            );
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
