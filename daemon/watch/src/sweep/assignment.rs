//! Names that an access key id is given to (`access_key_id = …`, `"accessKey": "…"`,
//! `--s3-access-key-id …`), and the boundaries of words. Pure.

/// Pieces of such names that are rare elsewhere, in the cases they are written in. Around each the
/// whole name is read.
pub(super) const NAME_PIECES: [&str; 17] = [
    "ss_key", "ss-key", "ss.key", "sskey", "ssKey", "SS_KEY", "SS-KEY", "SSKEY", "s3_key",
    "s3-key", "s3.key", "s3Key", "S3_KEY", "S3-KEY", "ot_user", "OT_USER", "SsKey",
];
/// No name and what separates it from its value take more bytes.
const LONGEST: usize = 120;
/// Words between a name and its value, as in `<name>…</name><value>…` and `name: …`, `value: …`.
const BETWEEN: [&[u8]; 4] = [b"value", b"string", b"name", b"key"];
/// Names with these in them hold another thing: the other half, or the key of another service.
const OTHER_THINGS: [&str; 10] = [
    "secret", "shared", "account", "storage", "azure", "public", "private", "file", "path", "len",
];

/// Whether a value that stands behind `before` is what such a name is set to.
pub(super) fn assigns_key_id(before: &[u8]) -> bool {
    let mut rest = &before[before.len().saturating_sub(LONGEST)..];
    for words in 0..3 {
        let (text, separator) = split_end(rest, is_separator);
        let (left, word) = split_end(text, is_name);
        if word.is_empty() {
            return false;
        }
        let between = BETWEEN.iter().any(|known| word.eq_ignore_ascii_case(known));
        if !between {
            return separates(separator, word, words > 0) && names_key_id(word);
        }
        rest = left;
    }
    false
}

/// Where the value begins that the name around `bytes[piece]` is set to.
pub(super) fn value_of(bytes: &[u8], piece: usize) -> Option<usize> {
    let limit = bytes.len().min(piece + LONGEST);
    let skip = |mut at: usize, skipped: fn(u8) -> bool| {
        while at < limit && skipped(bytes[at]) {
            at += 1;
        }
        at
    };
    let mut at = skip(piece, is_name);
    for _ in 0..4 {
        at = skip(at, is_separator);
        let end = skip(at, is_name);
        let word = &bytes[at..end];
        let between = BETWEEN.iter().any(|known| word.eq_ignore_ascii_case(known));
        if !between {
            return assigns_key_id(&bytes[..at]).then_some(at);
        }
        at = end;
    }
    None
}

/// Whether a name is one that an access key id is given to.
pub(super) fn names_key_id(name: &[u8]) -> bool {
    let plain: String = name
        .iter()
        .filter(|byte| byte.is_ascii_alphanumeric())
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect();
    if OTHER_THINGS.iter().any(|other| plain.contains(other)) {
        return false;
    }
    let plain = plain.trim_end_matches(|c: char| c.is_ascii_digit());
    let plain = plain.strip_suffix("id").unwrap_or(plain);
    plain.ends_with("accesskey") || plain.ends_with("s3key") || plain == "miniorootuser"
}

/// Whether this stands between a name and its value.
fn separates(separator: &[u8], name: &[u8], with_words: bool) -> bool {
    let holds = |wanted: &[u8]| separator.iter().any(|byte| wanted.contains(byte));
    if !with_words && holds(b"\n\r") {
        return false;
    }
    with_words || holds(b"=:>,") || name.starts_with(b"-") || name.contains(&b'.')
}

const fn is_separator(byte: u8) -> bool {
    matches!(
        byte,
        b' ' | b'\t'
            | b'\n'
            | b'\r'
            | b'='
            | b':'
            | b'<'
            | b'>'
            | b'/'
            | b','
            | b'"'
            | b'\''
            | b'`'
            | b'\\'
            | b'['
            | b']'
            | b'('
            | b'{'
            | b'}'
    )
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn split_end(text: &[u8], belongs: fn(u8) -> bool) -> (&[u8], &[u8]) {
    let start = text
        .iter()
        .rposition(|&byte| !belongs(byte))
        .map_or(0, |at| at + 1);
    text.split_at(start)
}

/// Whether a word can begin behind `before` and end before `after`. Escapes end words too: keys
/// stand in URLs and in configurations that are strings of others.
pub(super) fn is_word(before: &[u8], after: &[u8]) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if after.first().is_some_and(|&byte| inside(byte)) {
        return false;
    }
    match before {
        [] => true,
        [.., last] if !inside(*last) => true,
        [.., b'\\', b'n' | b'r' | b't' | b'b' | b'f'] => true,
        [.., b'%' | b'x', high, low] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
            before[before.len() - 3] == b'%' || before.ends_with_escape(b"\\x", 2)
        }
        _ => before.ends_with_escape(b"\\u", 4),
    }
}

trait EndsWithEscape {
    /// Whether it ends with `introduced` and so many hexadecimal digits.
    fn ends_with_escape(&self, introduced: &[u8], digits: usize) -> bool;
}

impl EndsWithEscape for [u8] {
    fn ends_with_escape(&self, introduced: &[u8], digits: usize) -> bool {
        let Some(start) = self.len().checked_sub(digits) else {
            return false;
        };
        let (text, end) = self.split_at(start);
        text.ends_with(introduced) && end.iter().all(u8::is_ascii_hexdigit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn assignments_in_every_kind_of_file_are_known() {
        for (before, known) in [
            ("access_key_id = ", true),
            ("aws_access_key_id=", true),
            ("export AWS_ACCESS_KEY_ID=\"", true),
            ("  accessKeyID: ", true),
            ("{\"alias\": {\"accessKey\": \"", true),
            ("{\\\"access_key_id\\\":\\\"", true),
            ("<AccessKeyId>", true),
            ("<name>fs.s3a.access.key</name>\n  <value>", true),
            ("<key>AccessKey</key>\n<string>", true),
            ("- name: AWS_ACCESS_KEY_ID\n  value: ", true),
            ("{\"name\": \"AWS_ACCESS_KEY_ID\", \"value\": \"", true),
            ("spark.hadoop.fs.s3a.access.key   ", true),
            ("rclone --s3-access-key-id ", true),
            ("repo1-s3-key=", true),
            ("setenv(\"AWS_ACCESS_KEY_ID\", \"", true),
            ("'access_key' => '", true),
            ("MINIO_ROOT_USER=", true),
            ("MINIO_ACCESS_KEY=", true),
            ("AWS_ACCESS_KEY_ID_2=", true),
            ("aws_secret_access_key = ", false),
            ("accessKeySecret: ", false),
            ("azure_storage_access_key=", false),
            ("SharedAccessKey=", false),
            ("access_key_file = ", false),
            ("access_key =\n", false),
            ("the access_key ", false),
            ("quick access key: ", false),
            ("user = ", false),
            ("key: ", false),
            ("", false),
        ] {
            assert_eq!(assigns_key_id(before.as_bytes()), known, "{before:?}");
            if known {
                let text = format!("{before}admin\n");
                let piece = NAME_PIECES
                    .iter()
                    .find_map(|piece| text.find(piece))
                    .unwrap_or_else(|| panic!("no piece in {before:?}"));
                assert_eq!(
                    value_of(text.as_bytes(), piece),
                    Some(before.len()),
                    "{before:?}"
                );
            }
        }
    }

    #[test]
    fn words_end_at_escapes_but_not_inside_other_words() {
        for before in ["", " ", "=", "\"", "\\n", "%3D", "\\u0022", "\\x22", "/"] {
            assert!(is_word(before.as_bytes(), b""), "{before:?}");
        }
        for before in ["n", "a", "_", "3D", "u0022", "9", "x22"] {
            assert!(!is_word(before.as_bytes(), b""), "{before:?}");
        }
        assert!(is_word(b"", b"%2F"));
        assert!(is_word(b"", b"\\n"));
        assert!(!is_word(b"", b"a"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..300) {
            let at = at.min(bytes.len());
            let _ = assigns_key_id(&bytes[..at]);
            let _ = is_word(&bytes[..at], &bytes[at..]);
            let _ = value_of(&bytes, at);
        }
    }
}
