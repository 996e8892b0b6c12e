//! Settings that are set, added and removed: what was wanted reads back, no byte beside the changes is
//! another one, and nothing that is shown holds a value.
#![no_main]

use bascule_formats::{
    edit::apply,
    environment_file::Dialect,
    leaves,
    revise::{Scope, Syntax, Wanted, managed, read, revise, verbatim},
};
use bascule_fuzz::{SECRET, STRUCTURES, chosen};
use libfuzzer_sys::fuzz_target;

const SYNTAXES: [Syntax; 13] = [
    Syntax::Rclone,
    Syntax::AwsCredentials,
    Syntax::AwsConfig,
    Syntax::S3cfg,
    Syntax::Mc,
    Syntax::EnvironmentFile(Dialect::Systemd),
    Syntax::EnvironmentFile(Dialect::Docker),
    Syntax::EnvironmentFile(Dialect::Compose),
    Syntax::Shell,
    Syntax::Unit,
    Syntax::Crontab,
    Syntax::Compose,
    Syntax::S3fsPasswords,
];

/// Names that the corpora hold, and the values that they are to have.
const NAMES: [&str; 10] = [
    "access_key_id",
    "secret_access_key",
    "aws_access_key_id",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "access_key",
    "accessKey",
    "id",
    "endpoint",
    "s3.addressing_style",
];
const VALUES: [Option<&str>; 4] = [
    Some("AKIANEW"),
    Some("a b\"'$%#\\=:`"),
    Some("http://127.0.0.1:9000"),
    None,
];

fuzz_target!(|data: &[u8]| {
    let Some((first, text)) = chosen(data) else {
        return;
    };
    let _ = managed(text);
    let syntax = match first.checked_sub(128) {
        None => SYNTAXES[first % SYNTAXES.len()],
        Some(structure) => Syntax::Structured(STRUCTURES[structure % STRUCTURES.len()]),
    };
    // The first name that is followed by a bracket or a colon may be a section's.
    let section = text
        .split(['[', ']', ':', '"', '\n'])
        .map(str::trim)
        .find(|part| !part.is_empty())
        .unwrap_or_default();
    let mut scopes = vec![Scope::Whole, Scope::Section("r2"), Scope::Section(section)];
    if let Syntax::Structured(structure) = syntax {
        let found = leaves(text, structure);
        let path = found.iter().flatten().next().map(|leaf| leaf.path.clone());
        scopes.extend(path.map(|path| {
            let owned = path.into_iter().map(|step| match step {
                bascule_formats::Step::Name(name) => {
                    bascule_formats::Step::Name(name.into_owned().into())
                }
                bascule_formats::Step::Index(index) => bascule_formats::Step::Index(index),
            });
            Scope::Path(owned.collect())
        }));
    }
    for scope in &scopes {
        for shift in 0..2 {
            let names = NAMES.iter().enumerate().skip(shift * 5).take(5);
            let mut wanted: Vec<_> = names
                .map(|(at, name)| Wanted {
                    name,
                    value: VALUES[(at + first) % VALUES.len()],
                })
                .collect();
            if matches!(syntax, Syntax::Structured(_) | Syntax::S3fsPasswords) {
                wanted.retain(|wanted| {
                    matches!(read(text, syntax, scope, wanted.name), Ok(Some(_)))
                        && wanted.value.is_some()
                });
            }
            match revise(text, syntax, scope, &wanted) {
                Ok(edits) => {
                    let after = apply(text, &edits).expect("edits of the text");
                    for wanted in &wanted {
                        let now = read(&after, syntax, scope, wanted.name);
                        if let Some(value) = wanted.value {
                            let now = now.expect("readable").expect("set");
                            assert_eq!(now.as_str(), value, "{}", wanted.name);
                        }
                    }
                }
                Err(error) => assert!(!format!("{error} {error:?}").contains(SECRET)),
            }
        }
    }
    for line in [1, 2, first as u32] {
        if let Err(error) = verbatim(text, line, section, "new") {
            assert!(!format!("{error} {error:?}").contains(SECRET));
        }
    }
});
