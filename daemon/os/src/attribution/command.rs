//! Pure: a command line as it may be shown and kept, without the secrets in it.

use std::ops::Range;

use super::mask::{MASK, STRONG, is_name, is_secret, mask, mask_password};

const CUT: &str = "…";
/// Characters of a line that is kept.
const LONGEST: usize = 1000;

/// The line for the content of `/proc/PID/cmdline`, of which `whole` tells whether it is complete.
/// `None` when there are no arguments.
pub(super) fn line(arguments: &[u8], whole: bool) -> Option<String> {
    let mut arguments: Vec<_> = arguments
        .split(|byte| *byte == 0)
        .map(|argument| String::from_utf8_lossy(argument).into_owned())
        .collect();
    // Behind the last NUL is nothing, or a part of an argument; what it means can't be told.
    let rest = arguments.pop()?;
    if whole && !rest.is_empty() {
        // A program that has replaced its arguments may have forgotten the last NUL.
        arguments.push(rest);
    }
    (!arguments.is_empty() || !whole).then(|| shown(&arguments, whole))
}

/// The line for arguments, of which `whole` tells whether they are all.
pub(super) fn shown(arguments: &[String], whole: bool) -> String {
    let shown: Vec<_> = masked(arguments).iter().map(|text| quoted(text)).collect();
    let mut line = shown.join(" ");
    if let Some((at, _)) = line.char_indices().nth(LONGEST) {
        line.truncate(at);
        line.push_str(CUT);
    } else if !whole {
        line.push_str(CUT);
    }
    line
}

/// What is known about an argument from the one before it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    Anything,
    /// All of it is secret.
    Secret,
    /// `USER:PASSWORD`.
    UserAndPassword,
}

fn masked(arguments: &[String]) -> Vec<String> {
    let positional = secrets_by_position(arguments);
    let mut expected = Expected::Anything;
    let mut shown = Vec::with_capacity(arguments.len());
    for (at, argument) in arguments.iter().enumerate() {
        let is_address = at == positional.start && argument.contains("://");
        let secret = positional.contains(&at) && !is_address;
        let is = if secret { Expected::Secret } else { expected };
        expected = expected_after(argument);
        shown.push(match is {
            Expected::Secret => MASK.to_owned(),
            Expected::UserAndPassword => mask_password(argument),
            Expected::Anything if at == 0 && is_path(argument) => argument.clone(),
            Expected::Anything => mask(argument),
        });
    }
    shown
}

/// Whether the first argument is where the program lies and no more: a folder's name may look random, as those
/// of package stores do.
fn is_path(argument: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._+-".contains(c);
    argument.starts_with('/') && argument.chars().all(plain)
}

/// `mc alias set NAME URL ID SECRET` and its like name nothing.
fn secrets_by_position(arguments: &[String]) -> Range<usize> {
    const NONE: Range<usize> = 0..0;
    let Some(program) = arguments.first() else {
        return NONE;
    };
    if !["mc", "mcli"].contains(&program.rsplit('/').next().unwrap_or(program)) {
        return NONE;
    }
    let verb = |argument: &String| ["set", "s", "add", "a", "import"].contains(&argument.as_str());
    match arguments.iter().skip(2).position(verb) {
        Some(verb) => verb + 4..arguments.len(),
        None => NONE,
    }
}

fn expected_after(argument: &str) -> Expected {
    // A script may end with an option too.
    let word = argument.rsplit(char::is_whitespace).next();
    let word = word.unwrap_or_default();
    if is_user(word) {
        return Expected::UserAndPassword;
    }
    let name = word.trim_start_matches('-');
    if !name.chars().all(is_name) || !is_secret(name) {
        return Expected::Anything;
    }
    let introduces = if word.starts_with('-') {
        // `--key` is an object's, in the aws tools.
        !name.eq_ignore_ascii_case("key")
    } else {
        // `rclone config create NAME s3 secret_access_key SECRET`; but `restic key list`.
        name.contains('_') || STRONG.contains(&&*name.to_lowercase())
    };
    if introduces {
        Expected::Secret
    } else {
        Expected::Anything
    }
}

fn is_user(option: &str) -> bool {
    ["-u", "-U", "--user", "--username", "--proxy-user"].contains(&option)
}

/// As a shell would take it. Control characters, which would command a terminal, are replaced.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_.,:/=+@%*?&#~^{}[]".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let text: String = text
        .chars()
        .map(|c| {
            if c.is_control() || is_invisible(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect();
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Marks that turn the direction of writing, and separators that end a line.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(arguments: &[&str]) -> String {
        let bytes: Vec<u8> = arguments
            .iter()
            .flat_map(|argument| argument.bytes().chain([0]))
            .collect();
        line(&bytes, true).unwrap()
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        for text in [
            "rclone copy /data r2:bucket/path --transfers=4 --s3-upload-concurrency 8",
            "rclone sync /srv/tokens secret:backup/2026-11-25T10-00-00 --config=/home/ann/.config/rclone/rclone.conf",
            "rclone copyto /a r2:icons/star@2x.png --s3-access-key-id=BSC2ABCDEFGHIJKLMNOP",
            "restic -r s3:http://127.0.0.1:8642/bucket/restic --password-file /etc/restic/password backup /home",
            "restic key list",
            "/store/9xk2h1lq0vz8w3c7yd5m4n6b1r2t8s0p-rclone-1.75/bin/rclone copy /a r2:b",
            "aws s3api get-object --bucket photos --key Documents/Projects/Alpha/2026/Reports.pdf out",
            "aws --endpoint-url http://127.0.0.1:8642 s3 cp x s3://photos/holiday/",
            "scp ann@host:/path /srv/passthrough/data",
            "docker run --user 1000 -v /a:/b image",
        ] {
            assert_eq!(shown(&text.split(' ').collect::<Vec<_>>()), text);
        }
        assert_eq!(shown(&["a b", "c'd", ""]), "'a b' 'c'\\''d' ''");
        assert_eq!(
            shown(&[":s3,env_auth,endpoint=\"http://a:1\":b/c"]),
            "':s3,env_auth,endpoint=\"http://a:1\":b/c'"
        );
    }

    #[test]
    fn what_surrounds_a_secret_is_still_told() {
        let key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(
            shown(&[
                "rclone",
                &format!("--s3-secret-access-key={key}"),
                &format!("--x={key}=")
            ]),
            "rclone --s3-secret-access-key=*** --x=***="
        );
        assert_eq!(
            shown(&[
                "rclone",
                "--s3-secret-access-key=x",
                "lsd",
                ":s3,secret_access_key=x,region=auto:photos"
            ]),
            "rclone --s3-secret-access-key=*** lsd :s3,secret_access_key=***,region=auto:photos"
        );
        assert_eq!(
            shown(&[
                "curl",
                "http://h/o?X-Amz-Credential=a%2Fb&X-Amz-Signature=77&partNumber=1"
            ]),
            "curl http://h/o?X-Amz-Credential=***&X-Amz-Signature=***&partNumber=1"
        );
        assert_eq!(
            shown(&["mc", "ls", "http://id:se@cr/et@host/b"]),
            "mc ls http://id:***@host/b"
        );
        assert_eq!(
            shown(&["mc", "alias", "set", "gate", "http://h:1", "id", "secret"]),
            "mc alias set gate http://h:1 *** ***"
        );
    }

    #[test]
    fn terminals_are_not_commanded_and_long_lines_are_cut() {
        assert_eq!(
            shown(&["a\u{1b}[2Jb\n", "\u{202e}x"]),
            "'a\u{fffd}[2Jb\u{fffd}' '\u{fffd}x'"
        );
        let long = shown(&["x".repeat(5000).as_str()]);
        assert_eq!(long.chars().count(), LONGEST + 1);
        // What was not read whole is left out: half a secret looks like none.
        assert_eq!(
            line(b"rclone\0copy\0QUJDREVGabc", false).unwrap(),
            "rclone copy…"
        );
        assert_eq!(line(b"", true), None);
        assert_eq!(
            line(b"title without an end", true).unwrap(),
            "'title without an end'"
        );
        assert_eq!(line(b"\xff\xfe\0", true).unwrap(), "'\u{fffd}\u{fffd}'");
    }

    /// Ways to give a secret by name, `S` standing for it; ` | ` parts arguments.
    const NAMED: [&str; 27] = [
        "rclone | --s3-secret-access-key=S | copy | a | b",
        "rclone | copy | a | b | --s3-secret-access-key | S",
        "rclone | --rc-pass=S",
        "rclone | serve | s3 | --auth-key | id,S | r2:",
        "rclone | --s3-sse-customer-key=S",
        "rclone | config | create | r2 | s3 | access_key_id | id | secret_access_key | S",
        "rclone | lsd | r2,secret_access_key=S:bucket",
        "rclone | mount | r2: | /mnt | -o | rw,secret_access_key=S",
        "env | AWS_SECRET_ACCESS_KEY=S | rclone | ls | r2:",
        "docker | run | -e | RCLONE_CONFIG_R2_SECRET_ACCESS_KEY=S | image",
        "sh | -c | AWS_SECRET_ACCESS_KEY=S rclone ls r2:",
        "sh | -c | AWS_SECRET_ACCESS_KEY='S' rclone ls r2:",
        "sh | -c | restic --password S backup",
        "s3cmd | --access_key=id | --secret_key=S | ls",
        "kopia | --secret-access-key | S | --password=S",
        "aws | configure | set | aws_secret_access_key | S",
        "aws | --session-token=S",
        "curl | -u | id:S | http://h/",
        "curl | -uid:S",
        "curl | --user=id:S",
        "curl | -H | Authorization: Bearer S",
        "curl | -H | X-Auth-Token: S",
        "curl | -d | {\"secretAccessKey\":\"S\",\"a\":1}",
        "curl | -d | {\\\"password\\\": \\\"S\\\"}",
        "curl | -d | <SecretAccessKey>S</SecretAccessKey>",
        "mc | alias | set | gate | http://h | id | S",
        "python3 | -c | connect(password = 'S')",
    ];
    /// Ways that need no name.
    const PLAIN: [&str; 9] = [
        "tool | S",
        "tool | id:S",
        "tool | id,S,x",
        "tool | --opt=S",
        "tool | -xS",
        "tool | http://h/S",
        "tool | 'S'",
        "sh | -c | tool S and more",
        "tool | /some/path/S/below",
    ];

    /// Every character is as likely as any other, as in the keys of providers and our own.
    fn random(kinds: usize, length: usize) -> impl Strategy<Value = String> {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        proptest::collection::vec(0..kinds, length)
            .prop_map(|drawn| drawn.iter().map(|&at| char::from(ALPHABET[at])).collect())
    }

    fn never_comes_out(template: &str, secret: &str) -> Result<(), TestCaseError> {
        let arguments: Vec<_> = template
            .split(" | ")
            .map(|part| plant(part, secret))
            .collect();
        prop_assert!(arguments.iter().any(|argument| argument.contains(secret)));
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let line = shown(&arguments);
        let characters: Vec<char> = secret.chars().collect();
        for piece in characters.windows(6) {
            let piece: String = piece.iter().collect();
            prop_assert!(!line.contains(&piece), "{template}: {line}");
        }
        Ok(())
    }

    /// Replaces the `S` that stands alone.
    fn plant(part: &str, secret: &str) -> String {
        let characters: Vec<char> = part.chars().collect();
        let mut text = String::new();
        for (at, c) in characters.iter().enumerate() {
            let alone = |at: Option<&char>| at.is_none_or(|c| !c.is_ascii_uppercase() && *c != '_');
            let before = at.checked_sub(1).and_then(|at| characters.get(at));
            let after = characters.get(at + 1);
            let word = after.is_some_and(char::is_ascii_lowercase);
            if *c == 'S' && alone(before) && alone(after) && !word {
                text.push_str(secret);
            } else {
                text.push(*c);
            }
        }
        text
    }

    proptest! {
        #[test]
        fn a_named_secret_never_comes_out(template in proptest::sample::select(&NAMED[..]), secret in "[!-~]{8,60}") {
            never_comes_out(template, &secret)?;
        }

        #[test]
        fn a_key_of_40_characters_never_comes_out(
            template in proptest::sample::select([&NAMED[..], &PLAIN[..]].concat()),
            secret in prop_oneof![random(62, 40), random(64, 40), "[0-9a-f]{64}"],
        ) {
            never_comes_out(template, &secret)?;
        }

        #[test]
        fn a_password_in_a_url_never_comes_out(secret in "[!-~]{8,60}") {
            never_comes_out("mc | ls | https://id:S@host/path", &secret)?;
        }

        #[test]
        fn a_secret_of_a_connection_string_never_comes_out(secret in "[ -~]{8,60}", quote in "['\"]") {
            let value = secret.replace(&quote, &quote.repeat(2));
            never_comes_out(&format!(":s3,secret_access_key={quote}S{quote},region=auto:b"), &value)?;
            let inner = format!(":s3,secret_access_key={quote}{value}{quote}:b").replace('"', "\"\"");
            let nested = shown(&["rclone", &format!(":crypt,remote=\"{inner}\":x")]);
            prop_assert!(!nested.contains(&*secret), "{nested}");
        }

        #[test]
        fn any_arguments_make_a_line(bytes in proptest::collection::vec(any::<u8>(), 0..200), whole in any::<bool>()) {
            if let Some(line) = line(&bytes, whole) {
                prop_assert!(!line.chars().any(char::is_control));
            }
        }
    }
}
