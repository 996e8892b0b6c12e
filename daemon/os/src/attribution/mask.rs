//! Pure: what of a text is a secret. Three rules: a value with a secret's name, the password of a
//! user, and what is too random for words. Where it can't be told how far a secret goes, the rest of
//! the text goes with it.

use std::ops::Range;

/// What stands for a secret.
pub(super) const MASK: &str = "***";

/// An argument without the secrets in it.
pub(super) fn mask(argument: &str) -> String {
    if let Some(masked) = connection_string(argument) {
        return masked;
    }
    let joined = ["--user=", "--username=", "--proxy-user=", "-u", "-U"];
    if let Some(option) = joined.iter().find(|option| argument.starts_with(**option)) {
        let (option, value) = argument.split_at(option.len());
        return format!("{option}{}", mask_password(value));
    }
    mask_text(argument)
}

/// Keeps what is before the first colon.
pub(super) fn mask_password(argument: &str) -> String {
    match argument.split_once(':') {
        Some((user, _)) => format!("{}:{MASK}", mask_text(user)),
        None => mask_text(argument),
    }
}

/// Masks everything in running text that one of the rules takes for a secret.
pub(super) fn mask_text(text: &str) -> String {
    let mut secrets = Vec::new();
    let mut from = 0;
    while let Some(value) = next_value(text, from) {
        from = value.end;
        secrets.push(value);
    }
    passwords_of_users(text, &mut secrets);
    random_runs(text, &mut secrets);
    secrets.sort_by_key(|range| range.start);

    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for secret in secrets {
        if secret.start > from || from == 0 {
            shown.push_str(&text[from..secret.start]);
            shown.push_str(MASK);
        }
        from = from.max(secret.end);
    }
    shown.push_str(&text[from..]);
    shown
}

/// The next value of a secret name that begins at `from` or later. It goes to the end of the text,
/// except in the query of a URL.
fn next_value(text: &str, from: usize) -> Option<Range<usize>> {
    let mut at = from;
    loop {
        let start = at + text[at..].find(is_name)?;
        let length = text[start..].find(|c| !is_name(c));
        let end = length.map_or(text.len(), |length| start + length);
        let name = &text[start..end];
        at = end;
        if !is_secret(name.trim_start_matches('-')) {
            continue;
        }
        let rest = &text[end..];
        let sign = rest.trim_start_matches(|c: char| c.is_whitespace() || "\\\"'".contains(c));
        let between = &rest[..rest.len() - sign.len()];
        let ends_there = |rest: &str| {
            rest.chars()
                .next()
                .is_none_or(|c| c.is_whitespace() || "\\\"'=".contains(c))
        };
        let begins = match sign.chars().next() {
            Some('=' | '>') => Some(text.len() - sign.len() + 1),
            // `Authorization: …` and `"token":…`, but not the remote `secret:`.
            Some(':') if !between.is_empty() || ends_there(&sign[1..]) => {
                Some(text.len() - sign.len() + 1)
            }
            // `--password …` and `Bearer …` in a script.
            Some(_) if between.contains(char::is_whitespace) && introduces(name) => {
                Some(text.len() - sign.len())
            }
            _ => None,
        };
        let Some(begins) = begins.filter(|begins| *begins < text.len()) else {
            continue;
        };
        let in_query = text[..start].ends_with(['?', '&'])
            && text[..start]
                .rsplit(char::is_whitespace)
                .next()
                .is_some_and(|word| word.contains("://"));
        let length = text[begins..].find(|c: char| in_query && "&#".contains(c));
        return Some(begins..length.map_or(text.len(), |length| begins + length));
    }
}

fn introduces(name: &str) -> bool {
    name.starts_with('-') || ["bearer", "basic"].contains(&&*name.to_lowercase())
}

pub(super) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// Parts that make a name one of a secret, wherever they are in it.
pub(super) const STRONG: [&str; 6] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "token",
    "credential",
];
/// Words that do.
const WORDS: [&str; 13] = [
    "auth",
    "authorization",
    "bearer",
    "basic",
    "pwd",
    "pw",
    "cred",
    "creds",
    "keys",
    "sas",
    "sig",
    "signature",
    "cookie",
];
/// Ends of words that do.
const ENDS: [&str; 2] = ["pass", "key"];
/// Last words of names whose value says where a secret is.
const PLACES: [&str; 5] = ["file", "files", "path", "dir", "name"];

/// Whether the value of an option or variable with this name is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    let words = words(name);
    let Some(last) = words.last() else {
        return false;
    };
    if PLACES.contains(&last.as_str()) {
        return false;
    }
    let joined = words.concat();
    STRONG.iter().any(|part| joined.contains(part))
        || last != "id"
            && words.iter().any(|word| {
                WORDS.contains(&word.as_str()) || ENDS.iter().any(|end| word.ends_with(end))
            })
}

/// The words of `AWS_SECRET_ACCESS_KEY`, `s3-secret-access-key` and `secretAccessKey`.
fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = '_';
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            let begins = !before.is_ascii_alphanumeric()
                || before.is_ascii_lowercase() && c.is_ascii_uppercase();
            if begins {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.push(c.to_ascii_lowercase());
            }
        }
        before = c;
    }
    words
}

/// rclone's `:backend,name=value,…:path`, where it is certain how far a value goes. Of a remote
/// with a name that can't be said: `rw,password=…` are the options of a mount.
fn connection_string(argument: &str) -> Option<String> {
    let (backend, mut rest) = argument.strip_prefix(':')?.split_once(',')?;
    if !backend.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let mut shown = format!(":{backend}");
    loop {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c)))?;
        let (name, after) = rest.split_at(end);
        shown.push(',');
        shown.push_str(name);
        rest = after;
        if let Some(value) = rest.strip_prefix('=') {
            let (inner, quote, after) = value_of(value)?;
            rest = after;
            let inner = if is_secret(name) {
                MASK.to_owned()
            } else {
                mask(&inner)
            };
            shown.extend(["=", quote, &inner, quote]);
        }
        if let Some(path) = rest.strip_prefix(':') {
            return Some(format!("{shown}:{}", mask_text(path)));
        }
        rest = rest.strip_prefix(',')?;
    }
}

/// A value, the quotes around it, and what follows. Quotes in it are doubled.
fn value_of(text: &str) -> Option<(String, &'static str, &str)> {
    let quote = match text.chars().next()? {
        '\'' => "'",
        '"' => "\"",
        _ => {
            let (value, rest) = text.split_at(text.find([',', ':'])?);
            return Some((value.to_owned(), "", rest));
        }
    };
    let mut value = String::new();
    let mut rest = &text[1..];
    loop {
        let (inner, after) = rest.split_once(quote)?;
        value.push_str(inner);
        match after.strip_prefix(quote) {
            Some(more) => {
                value.push_str(quote);
                rest = more;
            }
            None => return Some((value, quote, after)),
        }
    }
}

/// `scheme://user:password@host`, and the same without a scheme. Passwords are often not escaped,
/// so it goes to the last `@`.
fn passwords_of_users(text: &str, secrets: &mut Vec<Range<usize>>) {
    let mut start = 0;
    for piece in text.split_inclusive(char::is_whitespace) {
        let scheme = piece.find("://").map(|at| at + 3);
        let begins = scheme.unwrap_or(0);
        let info = piece.rfind('@').and_then(|at| piece.get(begins..at));
        if let Some((user, password)) = info.and_then(|info| info.split_once(':'))
            && (scheme.is_some() || !password.contains('/'))
        {
            let from = start + begins + user.len() + 1;
            secrets.push(from..from + password.len());
        }
        start += piece.len();
    }
}

/// Long runs that no person would write: keys of 40 characters, hashes, UUIDs. Words between
/// slashes and dashes are none, however long the path is.
fn random_runs(text: &str, secrets: &mut Vec<Range<usize>>) {
    let fits = |c: char| c.is_ascii_alphanumeric() || "+/_-".contains(c);
    let mut from = 0;
    while let Some(start) = text[from..].find(fits).map(|at| from + at) {
        let length = text[start..].find(|c| !fits(c));
        let end = length.map_or(text.len(), |length| start + length);
        if is_random(&text[start..end]) {
            secrets.push(start..end);
        }
        from = end;
    }
}

/// Whether letters, capitals, digits and plus signs take turns more often than in words.
fn is_random(run: &str) -> bool {
    const WINDOW: usize = 30;
    // A random key of 40 characters has fewer once in millions. Paths with a hash in them have as
    // many and are masked too, which is the harmless mistake of the two.
    const CHANGES: usize = 7;
    let kind = |b: u8| match b {
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        b'0'..=b'9' => 3,
        b'+' => 4,
        _ => 0,
    };
    run.as_bytes().windows(WINDOW).any(|window| {
        let changes = window.windows(2).filter(|two| {
            let (one, next) = (kind(two[0]), kind(two[1]));
            one != 0 && next != 0 && one != next
        });
        changes.count() >= CHANGES
    })
}
