//! How rclone writes a path on a remote, and a list of them.

use std::{borrow::Cow, fmt};

/// A path on a remote: `name:path`, `name,option=value:path` or `:backend,option=value:path`.
#[derive(Clone, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Which remote.
    pub target: Target<'a>,
    /// Options that stand before those of the configuration, in order. They may be secrets.
    pub options: Vec<(&'a str, Cow<'a, str>)>,
    /// The path on the remote.
    pub path: &'a str,
}

/// Values may be secrets.
impl fmt::Debug for Reference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.options.iter().map(|(name, _)| name).collect();
        f.debug_struct("Reference")
            .field("target", &self.target)
            .field("options", &names)
            .field("path", &self.path)
            .finish()
    }
}

/// Which remote a reference means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// One of the configuration.
    Named(&'a str),
    /// One that is made on the spot, of this kind.
    Backend(&'a str),
}

impl<'a> Reference<'a> {
    /// Reads a path as rclone does. `None` for a local path: no colon, or a slash before it, or what
    /// rclone refuses.
    #[must_use]
    pub fn parse(text: &'a str) -> Option<Self> {
        let on_the_spot = text.starts_with(':');
        let from = usize::from(on_the_spot);
        let end = text[from..].find([':', ',', '/']).map(|at| at + from)?;
        let name = &text[from..end];
        if name.is_empty() || !is_remote_name(name) {
            return None;
        }
        let target = if on_the_spot {
            Target::Backend(name)
        } else {
            Target::Named(name)
        };
        let mut rest = &text[end..];
        let mut options = Vec::new();
        while let Some(option) = rest.strip_prefix(',') {
            let end = option.find(['=', ',', ':'])?;
            let name = &option[..end];
            rest = &option[end..];
            let value = match rest.strip_prefix('=') {
                Some(value) => {
                    let (value, behind) = option_value(value)?;
                    rest = behind;
                    value
                }
                None => Cow::Borrowed("true"),
            };
            options.push((name, value));
        }
        Some(Self {
            target,
            options,
            path: rest.strip_prefix(':')?,
        })
    }

    /// The value of an option, if the reference sets it.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&str> {
        let mut given = self.options.iter().rev();
        given
            .find(|(given, _)| *given == name)
            .map(|(_, value)| value.as_ref())
            .filter(|value| !value.is_empty())
    }
}

/// Letters, digits and `_.+@`, with blanks and hyphens between them.
fn is_remote_name(name: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '+' | '@' | ' ' | '-');
    name.chars().all(inner) && !name.starts_with([' ', '-']) && !name.ends_with(' ')
}

/// A value and what stands behind it. Quotes around it may be single or double ones, and are doubled
/// within.
fn option_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '\'' | '"')) else {
        let end = text.find([',', ':'])?;
        return Some((Cow::Borrowed(&text[..end]), &text[end..]));
    };
    let mut from = 1;
    loop {
        let end = text[from..].find(quote)? + from;
        if text[end + 1..].starts_with(quote) {
            from = end + 2;
            continue;
        }
        let value = &text[1..end];
        let doubled = if quote == '"' { "\"\"" } else { "''" };
        let value = if value.contains(doubled) {
            Cow::Owned(value.replace(doubled, &doubled[..1]))
        } else {
            Cow::Borrowed(value)
        };
        return Some((value, &text[end + 1..]));
    }
}

/// The items of a list such as `upstreams`: between blanks, in double quotes (doubled within) where
/// they hold some.
#[must_use]
pub fn list(text: &str) -> Vec<Cow<'_, str>> {
    let mut items = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (item, behind) = match rest.strip_prefix('"') {
            Some(_) => match quoted_item(rest) {
                Some(found) => found,
                None => (Cow::Borrowed(rest), ""),
            },
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (Cow::Borrowed(&rest[..end]), &rest[end..])
            }
        };
        items.push(item);
        rest = behind.trim_start();
    }
    items
}

fn quoted_item(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut from = 1;
    loop {
        let end = text[from..].find('"')? + from;
        if text[end + 1..].starts_with('"') {
            from = end + 2;
            continue;
        }
        let item = &text[1..end];
        let item = if item.contains("\"\"") {
            Cow::Owned(item.replace("\"\"", "\""))
        } else {
            Cow::Borrowed(item)
        };
        return Some((item, &text[end + 1..]));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> (String, Vec<(String, String)>, String) {
        let reference = Reference::parse(text).unwrap();
        let target = match reference.target {
            Target::Named(name) => name.to_owned(),
            Target::Backend(kind) => format!(":{kind}"),
        };
        let options = reference.options.iter();
        let options = options.map(|(name, value)| ((*name).to_owned(), value.to_string()));
        (target, options.collect(), reference.path.to_owned())
    }

    #[test]
    fn connection_strings_are_read_as_rclone_reads_them() {
        let none = Vec::new();
        assert_eq!(parsed("r2:a/b:c"), ("r2".into(), none, "a/b:c".into()));
        let expected = vec![
            ("access_key_id".into(), "A".into()),
            ("env_auth".into(), "true".into()),
            ("endpoint".into(), "http://h:9,\"x".into()),
        ];
        let text = r#":s3,access_key_id=A,env_auth,endpoint="http://h:9,""x":bucket"#;
        assert_eq!(parsed(text), (":s3".into(), expected, "bucket".into()));
        let single = "my r-2,x='it''s':";
        let expected = vec![("x".into(), "it's".into())];
        assert_eq!(parsed(single), ("my r-2".into(), expected, String::new()));
        for local in [
            "", "/a:b", "a/b:c", "plain", "r2,x=1", "r2,x='1:", ":", "::x", "-a:b",
        ] {
            assert_eq!(Reference::parse(local), None, "{local}");
        }
        let shown = format!("{:?}", Reference::parse("r,secret_access_key=hunter2:"));
        assert!(!shown.contains("hunter2"));
    }

    #[test]
    fn lists_are_split_at_blanks_outside_of_quotes() {
        let items = list(r#" a:x  "b c:y z" "d""e:" f"#);
        assert_eq!(items, ["a:x", "b c:y z", "d\"e:", "f"]);
        assert_eq!(list("\"open"), ["\"open"]);
    }

    proptest! {
        #[test]
        fn no_text_stops_the_readers(text in "[a:,='\" /x\\PC]{0,40}") {
            let _ = Reference::parse(&text);
            let _ = list(&text);
        }
    }
}
