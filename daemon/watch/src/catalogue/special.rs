//! What a table can't say: keys inside of values, and databases.

use std::{path::Path, time::Duration};

use bascule_formats::{Dialect, Document, Step, rclone as format};
use rusqlite::{Connection, OpenFlags};

use super::{
    entries::{Entry, File, Reading, decoded},
    row::Row,
};
use crate::{environment::Environment, picture::HeldKey, read::lenient_endpoint};

/// Rows of a table that are looked at; nobody has so many backups.
const MOST_ROWS: usize = 5_000;

/// Secrets of Kubernetes: each value is base64 of a text, which is a key itself or a file of the AWS
/// tools.
pub(super) fn kubernetes(file: &File<'_>, reading: &mut Reading) {
    let names = |leaf: &bascule_formats::Leaf<'_>| match &leaf.path[..] {
        [Step::Name(part), Step::Name(name)] => Some((part.to_string(), name.to_string())),
        _ => None,
    };
    let secrets = |document| {
        file.leaves.iter().any(|leaf| {
            leaf.document == document
                && matches!(&leaf.path[..], [Step::Name(kind)] if kind == "kind")
                && leaf.value == "Secret"
        })
    };
    for leaf in file.leaves {
        let Some((part, name)) = names(leaf) else {
            continue;
        };
        if !matches!(&*part, "data" | "stringData") || !secrets(leaf.document) {
            continue;
        }
        let text = match &*part {
            "data" => decoded(&leaf.value),
            _ => Some(zeroize::Zeroizing::new(leaf.value.to_string())),
        };
        let place = file.place(leaf.line);
        let Some(text) = text else {
            reading.gap(
                place.to_string(),
                "the value is not base64 of a text",
                "look at it yourself",
            );
            continue;
        };
        if text.contains('\n') {
            of_ini(file, leaf.line, &text, &name, reading);
            continue;
        }
        if let Some(secret_name) = pair_of(&name) {
            let secret = file.leaves.iter().find_map(|other| {
                let (other_part, other_name) = names(other)?;
                let beside = other.document == leaf.document
                    && other_part == part
                    && secret_name.iter().any(|name| *name == other_name);
                beside.then(|| match &*part {
                    "data" => decoded(&other.value),
                    _ => Some(zeroize::Zeroizing::new(other.value.to_string())),
                })?
            });
            let secret = secret.as_deref().map(String::as_str);
            if let Some(key) = HeldKey::read(Some(&text), secret, place.clone()) {
                push(file, "secret value", &name, key, reading);
            }
        }
    }
}

/// What the secret of a key is called beside it, if this is what a key is called.
fn pair_of(name: &str) -> Option<[&'static str; 3]> {
    Some(match name {
        "AWS_ACCESS_KEY_ID" | "aws_access_key_id" => {
            ["AWS_SECRET_ACCESS_KEY", "aws_secret_access_key", ""]
        }
        "access-key-id" | "accessKeyId" | "accesskeyid" => {
            ["secret-access-key", "secretAccessKey", "accesskeysecret"]
        }
        "access-key" | "accesskey" | "accessKey" | "access_key" => {
            ["secret-key", "secretkey", "secretKey"]
        }
        "rootUser" | "root-user" => ["rootPassword", "root-password", ""],
        _ => return None,
    })
}

/// Keys in a text that is a file of the AWS tools or of rclone.
fn of_ini(file: &File<'_>, line: u32, text: &str, name: &str, reading: &mut Reading) {
    let Ok(document) = Document::parse(text, Dialect::GoSdk) else {
        return;
    };
    for section in document.sections() {
        let get = |keys: [&str; 2]| {
            keys.iter()
                .find_map(|key| document.entry(section.name, key))
                .map(|entry| entry.value)
                .filter(|value| !value.is_empty())
        };
        let id = get(["aws_access_key_id", "access_key_id"]);
        let secret = get(["aws_secret_access_key", "secret_access_key"]);
        if let Some(mut key) = HeldKey::read(id, secret, file.place(line)) {
            key.endpoint = get(["endpoint_url", "endpoint"]).and_then(lenient_endpoint);
            let name = format!("{name} [{}]", section.name);
            push(file, "secret value", &name, key, reading);
        }
    }
}

fn push(file: &File<'_>, entry: &str, name: &str, key: HeldKey, reading: &mut Reading) {
    reading.entries.push(Entry {
        name: Some(name.to_owned()),
        link: file.link(entry, Some(name), &key.place),
        bucket: None,
        standing: key.standing(),
        key,
    });
}

/// An rclone configuration that kopia keeps as a text in its own.
pub(super) fn kopia(file: &File<'_>, reading: &mut Reading) {
    for leaf in file.leaves {
        if leaf.name() != Some("embeddedConfig") {
            continue;
        }
        let place = file.place(leaf.line);
        if format::is_encrypted(&leaf.value) {
            let remedy = "look at the configuration that it was copied from";
            reading.gap(place.to_string(), "it is encrypted", remedy);
            continue;
        }
        let Ok(document) = Document::parse(&leaf.value, Dialect::Rclone) else {
            let remedy = "connect the repository again";
            reading.gap(
                place.to_string(),
                "it can't be read as an rclone configuration",
                remedy,
            );
            continue;
        };
        for section in document.sections() {
            let value = |key| format::value(&document, section.name, key);
            let (id, secret) = (value("access_key_id"), value("secret_access_key"));
            if let Some(mut key) = HeldKey::read(id.as_deref(), secret.as_deref(), place.clone()) {
                key.endpoint = value("endpoint").and_then(|text| lenient_endpoint(&text));
                push(file, "remote", section.name, key, reading);
            }
        }
    }
}

/// The backups of Duplicati. Its database is opened for reading only, and only if that needs nothing
/// beside it to be written.
pub(super) fn duplicati(row: &Row, path: &Path, environment: &Environment) -> Option<Reading> {
    let metadata = std::fs::metadata(path).ok()?;
    let mut reading = Reading::default();
    let shown = path.display().to_string();
    let remedy = "look at the backups in Duplicati itself";
    if !metadata.is_file() {
        reading.gap(shown, "it is not a regular file", remedy);
        return Some(reading);
    }
    match urls(path) {
        Ok(urls) => {
            let file = File {
                row,
                path,
                leaves: &[],
                environment,
            };
            for (name, url) in urls {
                of_url(&file, &name, &url, &mut reading);
            }
        }
        Err(why) => reading.gap(shown, &why, remedy),
    }
    Some(reading)
}

/// The target of each backup, with its name.
fn urls(path: &Path) -> Result<Vec<(String, zeroize::Zeroizing<String>)>, String> {
    let told = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(code) => format!("its database can't be read ({code:?})"),
        None => "its database is not laid out as known".to_owned(),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    if writes_ahead(path) && !path.with_extension("sqlite-shm").exists() {
        return Err("its database can't be read without writing beside it".into());
    }
    let mut database = Connection::open_with_flags(path, flags).map_err(told)?;
    database.busy_timeout(Duration::ZERO).map_err(told)?;
    // A stranger's database must not run code or never end.
    database
        .execute_batch("PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;")
        .map_err(told)?;
    let mut steps = 0_u32;
    let bound = move || {
        steps += 1;
        steps > 1_000
    };
    database
        .progress_handler(10_000, Some(bound))
        .map_err(told)?;
    let tables: Vec<String> = {
        let mut query = database
            .prepare("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 500")
            .map_err(told)?;
        let names = query.query_map([], |row| row.get(0)).map_err(told)?;
        names.flatten().collect()
    };
    let mut urls = Vec::new();
    for (table, query) in [
        ("Backup", "SELECT Name, TargetURL FROM Backup"),
        (
            "ConnectionString",
            "SELECT Name, BaseUrl FROM ConnectionString",
        ),
        (
            "BackupTargetUrl",
            "SELECT 'target', TargetURL FROM BackupTargetUrl",
        ),
    ] {
        if !tables.iter().any(|known| known == table) {
            continue;
        }
        let Ok(mut query) = database.prepare(query) else {
            continue;
        };
        let rows = query
            .query_map([], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
            })
            .map_err(told)?;
        for row in rows.take(MOST_ROWS) {
            let (name, url) = row.map_err(told)?;
            urls.push((name, zeroize::Zeroizing::new(url)));
        }
    }
    Ok(urls)
}

/// Whether the database's header says that changes go to a log first.
fn writes_ahead(path: &Path) -> bool {
    use std::io::Read;
    let mut header = [0_u8; 20];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut header));
    read.is_ok() && header[18] == 2
}

/// The key in `s3://bucket/prefix?…auth-username=ID&auth-password=SECRET`.
fn of_url(file: &File<'_>, name: &str, url: &str, reading: &mut Reading) {
    let what = || format!("{}: backup {name}", file.path.display());
    if url.starts_with("enc-v1:") {
        let remedy = "look at the backup in Duplicati itself";
        reading.gap(
            what(),
            "the target is encrypted with Duplicati's own key",
            remedy,
        );
        return;
    }
    let Some(rest) = url.strip_prefix("s3://") else {
        return;
    };
    let (target, query) = rest.split_once('?').unwrap_or((rest, ""));
    let get = |names: [&str; 2]| {
        query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            let value = value.replace('+', "%20");
            let value = percent_encoding::percent_decode_str(&value)
                .decode_utf8_lossy()
                .into_owned();
            names.contains(&key).then(|| zeroize::Zeroizing::new(value))
        })
    };
    let id = get(["auth-username", "aws-access-key-id"]);
    let secret = get(["auth-password", "aws-secret-access-key"]);
    let place = crate::found::Place::File {
        path: file.path.to_owned(),
        line: 1,
    };
    let refers = |value: &Option<zeroize::Zeroizing<String>>| {
        value.as_ref().is_some_and(|value| value.starts_with('$'))
    };
    if refers(&id) {
        let remedy = "look at the secret provider of Duplicati";
        reading.gap(what(), "the key comes from a secret provider", remedy);
        return;
    }
    let id = id.as_deref().map(String::as_str);
    let secret = secret.as_deref().map(String::as_str);
    if let Some(mut key) = HeldKey::read(id, secret, place) {
        let server = get(["s3-server-name", "server-name"]);
        key.endpoint = server
            .as_deref()
            .and_then(|server| lenient_endpoint(server));
        let bucket = target.split('/').next().unwrap_or_default();
        let bucket = (!bucket.is_empty()).then(|| bucket.to_owned());
        push(file, "backup", name, key, reading);
        if let Some(entry) = reading.entries.last_mut() {
            entry.bucket = bucket;
        }
    }
}
