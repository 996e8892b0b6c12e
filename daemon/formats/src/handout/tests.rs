use super::*;
use crate::{
    ini::{Dialect, Document},
    rclone,
};

const SECRET: &str = "abcdefghijklmnopqrstABCDEFGHIJKLMNOPQRST";

fn with(id: &str, secret: &str, buckets: &[&str], check: impl FnOnce(HandOut<'_>)) {
    let buckets: Vec<BucketName> = buckets.iter().map(|name| name.parse().unwrap()).collect();
    check(HandOut {
        section_name: "photos-laptop",
        access_key_id: &id.parse().unwrap(),
        secret: &SecretKey::parse(secret).unwrap(),
        endpoint: &"http://127.0.0.1:8642".parse().unwrap(),
        region: &"auto".parse().unwrap(),
        buckets: &buckets,
    });
}

fn issued(check: impl FnOnce(HandOut<'_>)) {
    with("BSCABCDEFGHIJKLMNOPQ", SECRET, &["photos", "music"], check);
}

#[test]
fn the_rclone_section_is_complete_and_reads_back() {
    issued(|key| {
        let text = key.write(Format::Rclone).unwrap();
        let document = Document::parse(&text, Dialect::Rclone).unwrap();
        assert_eq!(document.sections().len(), 1);
        for (name, value) in [
            ("type", "s3"),
            ("provider", "Other"),
            ("access_key_id", "BSCABCDEFGHIJKLMNOPQ"),
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
    });
}

#[test]
fn the_aws_sections_work_in_their_files_and_as_one_text() {
    issued(|key| {
        let text = key.write(Format::Aws).unwrap();
        let document = Document::parse(&text, Dialect::Aws).unwrap();
        let value = |section, name| document.entry(section, name).unwrap().value;
        assert_eq!(
            value("photos-laptop", "aws_access_key_id"),
            "BSCABCDEFGHIJKLMNOPQ"
        );
        assert_eq!(value("photos-laptop", "aws_secret_access_key"), SECRET);
        assert_eq!(
            value("profile photos-laptop", "endpoint_url"),
            "http://127.0.0.1:8642"
        );
        assert_eq!(value("profile photos-laptop", "region"), "auto");
        let s3 = document.entry("profile photos-laptop", "s3").unwrap();
        assert_eq!(
            (s3.nested[0].key, s3.nested[0].value),
            ("addressing_style", "path")
        );
    });
}

#[test]
fn the_shell_lines_quote_what_a_shell_would_change() {
    issued(|key| {
        let text = key.write(Format::Env).unwrap();
        let expected = format!(
            "# buckets: photos, music\nexport AWS_ACCESS_KEY_ID=BSCABCDEFGHIJKLMNOPQ\n\
             export AWS_SECRET_ACCESS_KEY={SECRET}\nexport AWS_ENDPOINT_URL=http://127.0.0.1:8642\n\
             export AWS_REGION=auto\nexport AWS_DEFAULT_REGION=auto\n"
        );
        assert_eq!(text.as_str(), expected);
    });
    with("AKID", "a'$(b)`c`\\", &[], |key| {
        let text = key.write(Format::Env).unwrap();
        assert!(
            text.contains("export AWS_SECRET_ACCESS_KEY='a'\\''$(b)`c`\\'\n"),
            "{}",
            text.as_str()
        );
    });
}

#[test]
fn the_json_has_stable_names_and_survives_any_secret() {
    with("AKID", "a\"\\b", &["photos"], |key| {
        let text = key.write(Format::Json).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "name": "photos-laptop",
                "access_key_id": "AKID",
                "secret_access_key": "a\"\\b",
                "endpoint": "http://127.0.0.1:8642",
                "region": "auto",
                "path_style": true,
                "buckets": ["photos"],
            })
        );
    });
}

#[test]
fn a_secret_that_an_ini_reader_would_change_is_refused() {
    for secret in ["`a`", "\"a\"", "%(region)s", "a#b", "a;b"] {
        with("AKID", secret, &[], |key| {
            assert_eq!(key.write(Format::Rclone), Err(Unwritable));
            assert_eq!(key.write(Format::Aws), Err(Unwritable));
        });
    }
    with("AKID", "wJalrXUtnFEMI/K7MDENG+bPx=", &[], |key| {
        assert!(key.write(Format::Rclone).is_ok());
    });
}

#[test]
fn many_buckets_make_one_short_comment() {
    let names: Vec<String> = (0..1000).map(|at| format!("bucket-{at}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    with("AKID", SECRET, &names, |key| {
        let text = key.write(Format::Rclone).unwrap();
        assert!(
            text.lines().next().unwrap().len() < 200 && text.starts_with("# buckets: bucket-0, ")
        );
    });
}

#[test]
fn section_names_are_safe_everywhere_and_stay_apart() {
    let name = |connection: &str, label: &str| {
        let id = "BSCABCDEFGHIJKLMNOPQ".parse().unwrap();
        section_name(&connection.parse().unwrap(), &label.parse().unwrap(), &id)
    };
    assert_eq!(name("photos", "laptop"), "photos-laptop");
    assert_eq!(name("my-photos_1", "a-b"), "my-photos_1-a-b");
    assert_eq!(name("photos", "バックアップ"), "photos-nopq");
    assert_eq!(name("my.photos", "a [x]: \"y\"]"), "my-photos-a-x-y-nopq");
    assert_eq!(name("default", "é"), "default-nopq");
    for (connection, label) in [
        ("a", "-"),
        ("a", "--b"),
        ("0", "."),
        ("a.b", "=;#%$`'"),
        ("x-", "-x"),
    ] {
        let made = name(connection, label);
        assert!(
            made.len() >= 3 && !made.starts_with('-') && !made.ends_with('-'),
            "{made}"
        );
        assert!(
            made.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
            "{made}"
        );
    }
}

#[test]
fn debug_never_shows_the_secret() {
    issued(|key| assert!(!format!("{key:?}").contains(SECRET)));
}
