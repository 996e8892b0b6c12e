use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::{
    ini::{Dialect, Document},
    rclone,
};

const ID: &str = "BSCABCDEFGHIJKLMNOPQ";
const SECRET: &str = "abcdefghijklmnopqrstABCDEFGHIJKLMNOPQRST";

struct Given<'a> {
    name: &'a str,
    label: &'a str,
    id: &'a str,
    secret: &'a str,
    endpoint: &'a str,
    buckets: &'a [&'a str],
    prefixes: &'a [&'a str],
}

const USUAL: Given<'static> = Given {
    name: "photos-laptop",
    label: "laptop",
    id: ID,
    secret: SECRET,
    endpoint: "http://127.0.0.1:8642",
    buckets: &["photos", "music"],
    prefixes: &[],
};

impl Given<'_> {
    fn write(&self, format: Format) -> Result<String, Unwritable> {
        self.with(|key| key.write(format).map(|text| text.to_string()))
    }

    fn with<T>(&self, use_it: impl FnOnce(HandOut<'_>) -> T) -> T {
        let buckets: Vec<BucketName> = self.buckets.iter().map(|b| b.parse().unwrap()).collect();
        let prefixes: Vec<Prefix> = self.prefixes.iter().map(|p| p.parse().unwrap()).collect();
        use_it(HandOut {
            name: &self.name.parse().unwrap(),
            connection: &"photos".parse().unwrap(),
            label: &self.label.parse().unwrap(),
            access_key_id: &self.id.parse().unwrap(),
            secret: &SecretKey::parse(self.secret).unwrap(),
            endpoint: &self.endpoint.parse().unwrap(),
            region: &Region::AUTO,
            buckets: &buckets,
            prefixes: &prefixes,
        })
    }
}

#[test]
fn the_rclone_section_is_complete_and_reads_back() {
    let text = USUAL.write(Format::Rclone).unwrap();
    let document = Document::parse(&text, Dialect::Rclone).unwrap();
    assert_eq!(document.sections().len(), 1);
    for (name, value) in [
        ("type", "s3"),
        ("provider", "Other"),
        ("access_key_id", ID),
        ("secret_access_key", SECRET),
        ("endpoint", "http://127.0.0.1:8642"),
        ("region", "auto"),
        ("force_path_style", "true"),
        ("no_check_bucket", "true"),
    ] {
        assert_eq!(
            rclone::value(&document, "photos-laptop", name).as_deref(),
            Some(value)
        );
    }
    assert!(text.starts_with("# buckets: photos, music\n[photos-laptop]\n"));
}

#[test]
fn the_aws_sections_work_in_their_files_and_as_one_text() {
    let check = |credentials: &str, config: &str, name: &str, profile: &str| {
        let credentials = Document::parse(credentials, Dialect::Aws).unwrap();
        let value = |key| credentials.entry(name, key).unwrap().value;
        assert_eq!(value("aws_access_key_id"), ID);
        assert_eq!(value("aws_secret_access_key"), SECRET);
        let config = Document::parse(config, Dialect::Aws).unwrap();
        let entry = |key| config.entry(profile, key).unwrap();
        assert_eq!(entry("endpoint_url").value, "http://127.0.0.1:8642");
        assert_eq!(entry("region").value, "auto");
        let nested = &entry("s3").nested[0];
        assert_eq!((nested.key, nested.value), ("addressing_style", "path"));
    };
    let text = USUAL.write(Format::Aws).unwrap();
    check(&text, &text, "photos-laptop", "profile photos-laptop");
    let default = Given {
        name: "default",
        ..USUAL
    };
    for (given, profile) in [(USUAL, "profile photos-laptop"), (default, "default")] {
        let entry = |target| given.with(|key| key.entry(Format::Aws, target).unwrap());
        let (credentials, config) = (entry(Target::AwsCredentials), entry(Target::AwsConfig));
        check(&credentials, &config, given.name, profile);
        assert!(!config.contains(SECRET));
    }
}

#[test]
fn the_s5cmd_section_is_complete_and_tells_the_address() {
    let text = USUAL.write(Format::S5cmd).unwrap();
    let document = Document::parse(&text, Dialect::Aws).unwrap();
    let value = |key| document.entry("photos-laptop", key).unwrap().value;
    assert_eq!(value("aws_secret_access_key"), SECRET);
    assert_eq!(value("region"), "auto");
    let command = "s5cmd --profile photos-laptop --endpoint-url http://127.0.0.1:8642 ls";
    assert!(text.contains(command), "{text}");
}

#[test]
fn s3cmd_is_told_to_use_https_where_the_gateway_does() {
    for (endpoint, address, https) in [
        ("http://127.0.0.1:8642", "127.0.0.1:8642", "False"),
        ("https://gw.example:8643", "gw.example:8643", "True"),
        ("https://[::1]", "[::1]", "True"),
    ] {
        let text = Given { endpoint, ..USUAL }.write(Format::S3cmd).unwrap();
        for line in [
            format!("host_base = {address}\n"),
            format!("host_bucket = {address}\n"),
            format!("use_https = {https}\n"),
        ] {
            assert!(text.contains(&line), "{text}");
        }
    }
}

#[test]
fn the_shell_lines_quote_what_a_shell_would_change() {
    let expected = format!(
        "# buckets: photos, music\nexport AWS_ACCESS_KEY_ID={ID}\n\
         export AWS_SECRET_ACCESS_KEY={SECRET}\nexport AWS_DEFAULT_REGION=auto\n\
         export AWS_ENDPOINT_URL=http://127.0.0.1:8642\nexport AWS_REGION=auto\n"
    );
    assert_eq!(USUAL.write(Format::Env).unwrap(), expected);
    let odd = Given {
        secret: "a'$(b)`c`\\",
        ..USUAL
    };
    let text = odd.write(Format::Env).unwrap();
    assert!(
        text.contains("export AWS_SECRET_ACCESS_KEY='a'\\''$(b)`c`\\'\n"),
        "{text}"
    );
}

#[test]
fn restics_repository_lies_in_the_bucket_or_below_the_prefix() {
    let repository = |prefixes: &[&str]| {
        let text = Given { prefixes, ..USUAL }.write(Format::Restic)?;
        let line = text.lines().last().unwrap();
        Ok(line
            .strip_prefix("export RESTIC_REPOSITORY=")
            .unwrap()
            .to_owned())
    };
    let at = |path: &str| Ok(format!("s3:http://127.0.0.1:8642/photos/{path}"));
    assert_eq!(repository(&[]), at("restic"));
    assert_eq!(repository(&["backups/nas/"]), at("backups/nas"));
    assert_eq!(repository(&["a b?#%'"]), at("a%20b%3F%23%25%27"));
    for odd in ["/", "a//b", "/a", "a//"] {
        assert_eq!(repository(&[odd]), Err(Unwritable::ResticPrefix), "{odd}");
    }
}

#[test]
fn the_bookmark_holds_no_secret_and_cannot_be_broken_out_of() {
    let given = Given {
        label: "a</string>&<key>\u{ffff}",
        endpoint: "https://[::1]:8643",
        prefixes: &["in & out/"],
        ..USUAL
    };
    let text = given.write(Format::Cyberduck).unwrap();
    assert!(!text.contains(SECRET));
    for (key, value) in [
        ("Protocol", "s3"),
        ("Provider", "s3-https"),
        (
            "Nickname",
            "photos (a&lt;/string&gt;&amp;&lt;key&gt;\u{fffd})",
        ),
        ("Hostname", "::1"),
        ("Port", "8643"),
        ("Username", ID),
        ("Path", "/photos/in &amp; out"),
    ] {
        let pair = format!("<key>{key}</key>\n\t<string>{value}</string>\n");
        assert!(text.contains(&pair), "{pair} in {text}");
    }
    let plain = USUAL.write(Format::Cyberduck).unwrap();
    assert!(plain.contains("<string>s3-http</string>"));
    let hostile = Given {
        prefixes: &["a\u{1}b"],
        ..USUAL
    };
    let text = hostile.write(Format::Cyberduck).unwrap();
    assert!(text.contains("<string>/photos</string>"), "{text}");
}

#[test]
fn the_json_has_stable_names() {
    let text = Given {
        prefixes: &["a\"\n/"],
        ..USUAL
    }
    .write(Format::Json)
    .unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        value,
        serde_json::json!({
            "name": "photos-laptop",
            "access_key_id": ID,
            "secret_access_key": SECRET,
            "endpoint": "http://127.0.0.1:8642",
            "region": "auto",
            "path_style": true,
            "buckets": ["photos", "music"],
            "prefixes": ["a\"\n/"],
        })
    );
}

#[test]
fn a_secret_that_an_ini_reader_would_change_is_refused() {
    for secret in ["`a`", "\"a\"", "%(region)s", "a#b", "a;b", "$a"] {
        let given = Given { secret, ..USUAL };
        for format in [Format::Rclone, Format::Aws, Format::S5cmd, Format::S3cmd] {
            assert_eq!(given.write(format), Err(Unwritable::Key), "{format:?}");
        }
    }
    let usual = Given {
        secret: "wJalrXUtnFEMI/K7MDENG+bPx=",
        ..USUAL
    };
    assert!(usual.write(Format::Rclone).is_ok());
}

#[test]
fn comments_are_short_and_nothing_breaks_out_of_them() {
    let names: Vec<String> = (0..1000).map(|at| format!("bucket-{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let text = Given {
        buckets: &names,
        prefixes: &["a\n[evil]\ntype = local\r#"],
        ..USUAL
    }
    .write(Format::Rclone)
    .unwrap();
    let first = text.lines().next().unwrap();
    assert!(
        first.len() < 200 && first.starts_with("# buckets: bucket-0, "),
        "{first}"
    );
    let document = Document::parse(&text, Dialect::Rclone).unwrap();
    assert_eq!(document.sections().len(), 1);
    assert!(
        text.lines()
            .nth(1)
            .unwrap()
            .starts_with("# only below: \"a\\n[evil]")
    );
}

#[test]
fn names_are_safe_everywhere_and_stay_apart() {
    let name = |connection: &str, label: &str| {
        SectionName::of(&connection.parse().unwrap(), &label.parse().unwrap())
            .as_str()
            .to_owned()
    };
    assert_eq!(name("photos", "laptop"), "photos-laptop");
    assert_eq!(name("my-photos_1", "a-b"), "my-photos_1-a-b");
    assert_eq!(name("2026", "a"), "s3-2026-a");
    assert_eq!(name("photos", "バックアップ").len(), "photos-nopq".len());
    assert!(name("my.photos", "a [x]: \"y\"]").starts_with("my-photos-a-x-y-"));
    assert_ne!(name("photos", "é"), name("photos", "è"));
    assert_ne!(name("a", "b c"), name("a", "b-c"));
    for text in [
        "",
        "1a",
        "-a",
        "_a",
        "a b",
        "a.b",
        "a]",
        "é",
        "DEFAULT",
        &"a".repeat(145),
    ] {
        assert_eq!(text.parse::<SectionName>(), Err(InvalidName), "{text}");
    }
}

#[test]
fn every_format_has_a_name_of_its_own() {
    for format in Format::ALL {
        assert_eq!(format.as_str().parse(), Ok(format));
        assert!(UnknownFormat.to_string().contains(format.as_str()));
    }
    assert_eq!("RCLONE".parse::<Format>(), Err(UnknownFormat));
}

#[test]
fn debug_never_shows_the_secret() {
    USUAL.with(|key| assert!(!format!("{key:?}").contains(SECRET)));
}

proptest! {
    #[test]
    fn any_name_made_of_connection_and_label_is_one(connection in "[A-Za-z0-9][A-Za-z0-9._-]{0,63}", label in "\\PC{1,64}") {
        let Ok(label) = label.parse::<Label>() else { return Ok(()) };
        let name = SectionName::of(&connection.parse().unwrap(), &label);
        prop_assert_eq!(name.as_str().parse::<SectionName>(), Ok(name.clone()));
    }

    #[test]
    fn documents_and_programs_hold_any_secret(secret in "[!-~]{1,64}") {
        let given = Given { secret: &secret, id: "A\"K'\\D", ..USUAL };
        for (format, key) in [(Format::Json, "secret_access_key"), (Format::Mc, "secretKey")] {
            let value: serde_json::Value = serde_json::from_str(&given.write(format).unwrap()).unwrap();
            prop_assert_eq!(&value[key], &serde_json::Value::from(secret.as_str()));
        }
        let python = given.write(Format::Boto3).unwrap();
        let line = python.lines().find_map(|line| line.trim().strip_prefix("aws_secret_access_key=")).unwrap();
        let inside = line.strip_prefix('"').and_then(|line| line.strip_suffix("\",")).unwrap();
        prop_assert_eq!(inside.replace("\\\"", "\"").replace("\\\\", "\\"), secret);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn a_shell_reads_back_any_secret_and_prefix(secret in "[!-~]{1,64}", prefix in "[^/\0]{1,20}") {
        let given = Given { secret: &secret, prefixes: &[&prefix], ..USUAL };
        prop_assume!(!matches!(prefix.as_str(), "." | ".."));
        for format in [Format::Env, Format::Restic] {
            let mut script = given.write(format).unwrap();
            script.push_str("printf %s \"$AWS_SECRET_ACCESS_KEY\"");
            let output = Command::new("/bin/sh").args(["-eu", "-c", &script]).output().unwrap();
            prop_assert!(output.status.success());
            prop_assert_eq!(String::from_utf8(output.stdout).unwrap(), secret.as_str());
        }
    }
}
