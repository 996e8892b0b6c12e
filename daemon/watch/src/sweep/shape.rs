//! Which words look like access key ids to somebody who does not know any: by their own shape, or by
//! the name they are given to. Examples and placeholders are told apart. Pure.

use std::{ffi::OsStr, path::Path};

/// How sure it is that a word is somebody's access key id; the first is surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Its shape says so.
    High,
    /// It may be a name of another thing, or stands where examples stand: in documentation, tests,
    /// lock files, installed packages.
    Low,
}

/// What a word looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looks {
    KeyId(Confidence),
    /// Of documentation, or to be filled in.
    Example,
    Other,
}

/// What the ids of AWS's permanent and temporary keys begin with.
pub(super) const AWS_PREFIXES: [&str; 2] = ["AKIA", "ASIA"];
/// How long they are.
pub(super) const AWS_LENGTH: usize = 20;
/// No access key id is longer.
const LONGEST: usize = 128;

/// Where a word stands, as far as that says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Surroundings {
    /// Hashes, in a file that a program writes.
    Lock,
    /// Documentation, tests, and what others wrote.
    Examples,
    /// Source code: an unquoted word is a name.
    Code,
    Configuration,
}

impl Surroundings {
    pub(super) fn of(folder: &Path, name: &OsStr) -> Self {
        const EXAMPLES: [&str; 20] = [
            "doc",
            "docs",
            "example",
            "examples",
            "sample",
            "samples",
            "test",
            "tests",
            "testdata",
            "fixture",
            "fixtures",
            "spec",
            "node_modules",
            "vendor",
            "site-packages",
            "dist-packages",
            "registry",
            "man",
            "templates",
            "locale",
        ];
        let name = name.to_str().unwrap_or_default();
        let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
        match extension {
            "lock" | "sum" => return Self::Lock,
            "md" | "markdown" | "rst" | "adoc" | "html" | "htm" | "ipynb" | "po" => {
                return Self::Examples;
            }
            _ => {}
        }
        if ["package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml"].contains(&name) {
            return Self::Lock;
        }
        let mut folders = folder.iter().filter_map(OsStr::to_str);
        if folders.any(|folder| EXAMPLES.contains(&folder)) {
            return Self::Examples;
        }
        match extension {
            "rs" | "py" | "go" | "js" | "mjs" | "cjs" | "ts" | "tsx" | "jsx" | "java" | "kt"
            | "scala" | "c" | "h" | "cc" | "cpp" | "hpp" | "cs" | "rb" | "php" | "pl" | "pm"
            | "lua" | "swift" | "ex" | "exs" | "erl" | "hs" | "ml" | "proto" | "map" => Self::Code,
            _ => Self::Configuration,
        }
    }
}

impl Surroundings {
    /// The same, where a word stands in a comment: what is switched off is an example at most.
    pub(super) fn in_comment(self, commented: bool) -> Self {
        match self {
            Self::Code | Self::Configuration if commented => Self::Examples,
            _ => self,
        }
    }
}

/// Whether what follows `before` stands in a comment, in the ways that most configurations write one.
pub(super) fn is_comment(before: &[u8]) -> bool {
    const LONGEST_LINE: usize = 400;
    let near = &before[before.len().saturating_sub(LONGEST_LINE)..];
    let line = match near.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => &near[at + 1..],
        None => near,
    };
    let text = line.trim_ascii_start();
    let marks: [&[u8]; 5] = [b"#", b";", b"//", b"--", b"<!--"];
    let is_option = text.starts_with(b"--") && !text.starts_with(b"-- ");
    let whole = marks.iter().any(|mark| text.starts_with(mark)) && !is_option;
    whole || line.windows(3).any(|window| window == b" # ")
}

/// The word at the start of `bytes`, as far as access key ids go. `None` if it is too long for one.
pub(super) fn word(bytes: &[u8]) -> Option<&str> {
    let belongs = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'+' | b'@')
    };
    let length = bytes
        .iter()
        .take(LONGEST + 1)
        .take_while(|byte| belongs(byte))
        .count();
    std::str::from_utf8(&bytes[..length])
        .ok()
        .filter(|word| (3..=LONGEST).contains(&word.len()))
}

/// A word of AWS's shape that no name announces.
pub(super) fn aws(word: &[u8], surroundings: Surroundings) -> Looks {
    let (kind, rest) = word.split_at(word.len().min(4));
    let fits = word.len() == AWS_LENGTH
        && AWS_PREFIXES.iter().any(|prefix| prefix.as_bytes() == kind)
        && rest
            .iter()
            .all(|byte| matches!(byte, b'A'..=b'Z' | b'2'..=b'7'));
    match std::str::from_utf8(word) {
        Ok(word) if fits => {
            if is_example(word) {
                Looks::Example
            } else {
                Looks::KeyId(confidence(surroundings))
            }
        }
        _ => Looks::Other,
    }
}

/// A word that a name of an access key id is set to. `before` and `after` surround it.
pub(super) fn assigned(
    word: &str,
    before: &[u8],
    after: &[u8],
    surroundings: Surroundings,
) -> Looks {
    let quoted = matches!(before.last(), Some(b'"' | b'\'' | b'`' | b'>'));
    // A call, a member, a variable, a path, a secret, or a text of several words.
    let goes_on = match after.first() {
        Some(b'(' | b'[' | b'$' | b'{' | b'/' | b'%' | b'*' | b'!' | b'?' | b'|') => true,
        Some(b':') => after.get(1) == Some(&b':'),
        Some(b'=') => true,
        Some(b' ') => quoted,
        _ => false,
    };
    if goes_on || is_variable(before) || surroundings == Surroundings::Lock {
        return Looks::Other;
    }
    if is_example(word) {
        return Looks::Example;
    }
    if super::assignment::names_key_id(word.as_bytes()) || is_literal(word) || is_secret(word) {
        return Looks::Other;
    }
    if looks_random(word) {
        return Looks::KeyId(confidence(surroundings));
    }
    // What people name keys of their own servers: `minioadmin`. In code it would be quoted.
    let name_of_a_thing = word.contains('.') || word.starts_with('-');
    if name_of_a_thing || surroundings == Surroundings::Code && !quoted {
        return Looks::Other;
    }
    Looks::KeyId(Confidence::Low)
}

/// Whether an id can be told from other words by its looks. Others count only where they are
/// assigned.
pub(super) fn looks_random(word: &str) -> bool {
    let digits = word.bytes().any(|byte| byte.is_ascii_digit());
    let one_case = !word.bytes().any(|byte| byte.is_ascii_lowercase());
    word.len() >= 16
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && (digits || one_case)
}

const fn confidence(surroundings: Surroundings) -> Confidence {
    match surroundings {
        Surroundings::Lock | Surroundings::Examples => Confidence::Low,
        Surroundings::Code | Surroundings::Configuration => Confidence::High,
    }
}

fn is_example(word: &str) -> bool {
    const PLACEHOLDERS: [&str; 17] = [
        "example",
        "your",
        "xxxx",
        "changeme",
        "change-me",
        "change_me",
        "placeholder",
        "replace",
        "dummy",
        "redacted",
        "insert",
        "sample",
        "todo",
        "1234567890",
        "0123456789",
        "access-key",
        "some-",
    ];
    let lower = word.to_ascii_lowercase();
    let mut seen: Vec<u8> = word
        .bytes()
        .skip(if word.len() == AWS_LENGTH { 4 } else { 0 })
        .collect();
    seen.sort_unstable();
    seen.dedup();
    PLACEHOLDERS.iter().any(|text| lower.contains(text)) || word.len() >= 12 && seen.len() < 5
}

/// A word of a programming language or a type.
fn is_literal(word: &str) -> bool {
    const LITERALS: [&str; 22] = [
        "none",
        "null",
        "nil",
        "true",
        "false",
        "undefined",
        "string",
        "str",
        "option",
        "self",
        "this",
        "required",
        "optional",
        "text",
        "env",
        "get",
        "new",
        "default",
        "empty",
        "bool",
        "object",
        "varchar",
    ];
    LITERALS
        .iter()
        .any(|literal| word.eq_ignore_ascii_case(literal))
}

/// A variable that is replaced later, or a reference.
fn is_variable(before: &[u8]) -> bool {
    matches!(before, [.., b'$' | b'%' | b'*' | b'&' | b'@' | b'!' | b'<'])
        || matches!(before, [.., b'{' | b'(', b'{' | b' ' | b'('])
        || before.ends_with(b"${")
        || before.ends_with(b"$(")
        || before.ends_with(b"{")
}

/// The shape of a secret of AWS's: some tools call it the access key.
fn is_secret(word: &str) -> bool {
    word.len() >= 40
        && word.bytes().any(|byte| byte.is_ascii_lowercase())
        && word.bytes().any(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(text: &str, file: &str) -> Looks {
        let bytes = text.as_bytes();
        let piece = super::super::assignment::NAME_PIECES
            .iter()
            .find_map(|piece| text.find(piece))
            .unwrap();
        let Some(at) = super::super::assignment::value_of(bytes, piece) else {
            return Looks::Other;
        };
        let Some(word) = word(&bytes[at..]) else {
            return Looks::Other;
        };
        let after = &bytes[at + word.len()..];
        let path = Path::new(file);
        let surroundings = Surroundings::of(path.parent().unwrap(), path.file_name().unwrap());
        assigned(word, &bytes[..at], after, surroundings)
    }

    #[test]
    fn values_that_are_ids_are_told_from_what_only_looks_like_them() {
        use Confidence::{High, Low};
        for (text, file, expected) in [
            (
                "aws_access_key_id = AKIAZQ7R2M4N6P3B5C2D",
                ".aws/credentials",
                Looks::KeyId(High),
            ),
            (
                "access_key_id = 3f786850e387550fdab836ed7e6dc881",
                "rclone.conf",
                Looks::KeyId(High),
            ),
            (
                "\"accessKey\": \"minioadmin\"",
                ".mc/config.json",
                Looks::KeyId(Low),
            ),
            ("access_key = admin", ".s3cfg", Looks::KeyId(Low)),
            (
                "access_key_id: GK31c2f218a2e44f485b94239e",
                "a.yml",
                Looks::KeyId(High),
            ),
            (
                "AWS_ACCESS_KEY_ID=AKIAZQ7R2M4N6P3B5C2D",
                "docs/setup.sh",
                Looks::KeyId(Low),
            ),
            (
                "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",
                "credentials",
                Looks::Example,
            ),
            (
                "aws_access_key_id = AKIAXXXXXXXXXXXXXXXX",
                "credentials",
                Looks::Example,
            ),
            (
                "access_key_id = YOUR_ACCESS_KEY",
                "rclone.conf",
                Looks::Example,
            ),
            ("access_key_id = <theirs>", "rclone.conf", Looks::Other),
            (
                "access_key_id: ${AWS_ACCESS_KEY_ID}",
                "compose.yml",
                Looks::Other,
            ),
            ("access_key_id: {{ vault_key }}", "all.yml", Looks::Other),
            ("access_key_id: $KEY", "compose.yml", Looks::Other),
            ("access_key_id: String,", "src/config.rs", Looks::Other),
            ("access_key_id: row.get(0)", "src/config.rs", Looks::Other),
            ("access_key=access_key", "client.py", Looks::Other),
            (
                "access_key_id=settings.key_of_ours",
                "client.py",
                Looks::Other,
            ),
            ("access_key = somebody", "client.py", Looks::Other),
            ("access_key = \"somebody\"", "client.py", Looks::KeyId(Low)),
            ("access_key = None", "client.py", Looks::Other),
            (
                "access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYzzzzzzzzKEYq",
                "conf",
                Looks::Other,
            ),
            ("access_key: sha512-Zq8s", "package-lock.json", Looks::Other),
            (
                "\"access_key\": \"The key to use\"",
                "schema.json",
                Looks::Other,
            ),
        ] {
            assert_eq!(look(text, file), expected, "{text} in {file}");
        }
    }

    #[test]
    fn words_of_aws_shape_need_its_alphabet_and_length() {
        let looks = |word: &str| aws(word.as_bytes(), Surroundings::Configuration);
        assert_eq!(
            looks("AKIAZQ7R2M4N6P3B5C2D"),
            Looks::KeyId(Confidence::High)
        );
        assert_eq!(
            looks("ASIAZQ7R2M4N6P3B5C2D"),
            Looks::KeyId(Confidence::High)
        );
        assert_eq!(looks("AKIAIOSFODNN7EXAMPLE"), Looks::Example);
        for other in [
            "AKIAZQ7R2M4N6P3B5C2",
            "AKIAZQ7R2M4N6P3B5C2d",
            "AKIAZQ7R2M4N6P3B5C10",
            "AKIB",
            "",
        ] {
            assert_eq!(looks(other), Looks::Other, "{other}");
        }
    }

    #[test]
    fn ids_that_people_made_up_do_not_look_random() {
        for word in ["AKIAZQ7R2M4N6P3B5C2D", "3f786850e387550fdab836ed7e6dc881"] {
            assert!(looks_random(word), "{word}");
        }
        for word in [
            "admin",
            "minioadmin",
            "backup-user-2024-main",
            "productionuploadskey",
        ] {
            assert!(!looks_random(word), "{word}");
        }
    }
}
