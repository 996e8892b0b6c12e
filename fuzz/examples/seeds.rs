//! Writes the seeds of all targets: the texts of the corpora, each as the target reads it.
//!
//!     cargo run --example seeds -- FOLDER

use std::{fs, io, path::Path};

use bascule_fuzz::SECRET;
use bascule_watch::Catalogue;
// It is built like the targets, whose counters need somebody to count.
use libfuzzer_sys as _;

/// A file of a case: what it is called, and what is in it.
struct Seed {
    path: String,
    text: String,
}

fn main() -> io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "seeds".into());
    let folder = Path::new(&folder);
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus");
    for (number, seed) in seeds(&corpora)?.iter().enumerate() {
        let put = |target: &str, content: &[u8]| put(folder, target, number, content);
        let text = seed.text.as_bytes();
        put("formats_leaves", &behind(structure(&seed.path), text))?;
        for dialect in 0..3 {
            put("formats_ini", &behind(dialect, text))?;
        }
        put("formats_revise", &behind(syntax(&seed.path), text))?;
        put("formats_revise", &behind(128 + structure(&seed.path), text))?;
        put("formats_shell", text)?;
        put("formats_jobs", &behind(job(&seed.path), text))?;
        put("formats_rclone", text)?;
        put("watch_command", text)?;
        put("watch_sweep", text)?;
        put("watch_rclone", &[b"r2:bucket\n", text].concat())?;
        let rows = Catalogue::builtin().rows();
        let row = Catalogue::builtin().recognise(Path::new(&seed.path));
        let row = row.and_then(|row| rows.iter().position(|other| other.id == row.id));
        if let Some(row) = row.and_then(|row| u8::try_from(row).ok()) {
            put("watch_catalogue", &behind(row, text))?;
        }
    }
    for (number, (target, content)) in OTHERS.iter().enumerate() {
        put(folder, target, 10_000 + number, content.as_bytes())?;
    }
    Ok(())
}

fn put(folder: &Path, target: &str, number: usize, content: &[u8]) -> io::Result<()> {
    let folder = folder.join(target);
    fs::create_dir_all(&folder)?;
    let first = content.first().copied().unwrap_or_default();
    fs::write(folder.join(format!("{number:05}-{first}")), content)
}

fn behind(first: u8, text: &[u8]) -> Vec<u8> {
    [&[first], text].concat()
}

fn seeds(corpora: &Path) -> io::Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    for entry in fs::read_dir(corpora)? {
        let text = fs::read_to_string(entry?.path())?;
        for file in text.split("\n---- ").skip(1) {
            let (head, text) = file.split_once('\n').unwrap_or((file, ""));
            let text = text.split("\n==== ").next().unwrap_or_default();
            let text = text
                .replace("{KEY}", "AKIAQ7ZK4M2WX5VT7F3Q")
                .replace("{ID}", "nightly-backup")
                .replace("{OTHER}", "AKIAZ3XV6NT2QLH5WB7D")
                .replace("{SECRET}", SECRET);
            seeds.push(Seed {
                path: head.split(' ').next().unwrap_or_default().to_owned(),
                text,
            });
        }
    }
    seeds.sort_by(|a, b| (&a.path, &a.text).cmp(&(&b.path, &b.text)));
    Ok(seeds)
}

/// As `bascule_fuzz::STRUCTURES` has them.
fn structure(path: &str) -> u8 {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit('.').next().unwrap_or_default() {
        "json" | "state" | "tfstate" => 0,
        "yaml" | "yml" => 1,
        "toml" => 2,
        "tf" | "tfvars" => 3,
        "xml" if name.contains("site") => 5,
        "xml" => 4,
        "duck" => 6,
        "php" => 9,
        _ if name.contains("passwd") => 10,
        "s3cfg" => 13,
        _ if path.contains("spark") || path.contains(".duck/credentials") => 7,
        "conf" | "ini" | "cfg" | "local" | "boto" | "service" => 11,
        _ if path.contains(".aws/") => 12,
        _ => 8,
    }
}

/// As the target `formats_revise` has them.
fn syntax(path: &str) -> u8 {
    let name = path.rsplit('/').next().unwrap_or(path);
    match path {
        _ if name.contains("rclone") => 0,
        _ if path.contains(".aws/credentials") => 1,
        _ if path.contains(".aws/") => 2,
        _ if name.contains("s3cfg") => 3,
        _ if path.contains(".mc/") => 4,
        _ if name.contains("compose") => 11,
        _ if name.contains("passwd") => 12,
        _ if path.contains("systemd") => 9,
        _ if path.contains("cron") => 10,
        _ if name.ends_with(".sh") => 8,
        _ => 7,
    }
}

/// As the target `formats_jobs` has them.
fn job(path: &str) -> u8 {
    match path {
        _ if path.contains("systemd") => 0,
        _ if path.contains("crontabs") => 2,
        _ if path.contains("/etc/cron") => 3,
        _ if path.contains("fstab") => 4,
        _ => 5,
    }
}

/// What the corpora have none of.
const OTHERS: &[(&str, &str)] = &[
    (
        "formats_jobs",
        "\u{1}/bin/sh -c 'a; b' ; @/bin/x ${Y} $Z \\x20",
    ),
    (
        "formats_jobs",
        "\u{6}Mon..Fri *-*-01..07 10:00/15:30 Europe/Berlin",
    ),
    ("formats_jobs", "\u{7}*/5 1-3,7 * JAN-MAR mon"),
    (
        "formats_rclone",
        "r2,access_key_id=X,endpoint=\"http://h:1\":b/p",
    ),
    ("formats_rclone", "\"r2:a b\" b2:c:ro /local"),
    (
        "formats_rclone",
        "RCLONE_ENCRYPT_V0:\nbm90IHJlYWxseSBlbmNyeXB0ZWQsIGJ1dCBsb25nIGVub3VnaA==\n",
    ),
    (
        "watch_rclone",
        "a:x\n[a]\ntype = union\nupstreams = b:x c:y\n[b]\ntype = alias\nremote = a:\n[c]\ntype = combine\nupstreams = d=a: e=:s3,access_key_id=X:b\n",
    ),
    (
        "sigv4_header",
        "/b/k?partNumber=1\nhost:localhost:9000\nx-amz-date:20261123T120000Z\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nauthorization:AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20261123/auto/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000",
    ),
    (
        "sigv4_query",
        "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261123%2Fauto%2Fs3%2Faws4_request&X-Amz-Date=20261123T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0000000000000000000000000000000000000000000000000000000000000000",
    ),
    ("sigv4_target", "b/a key/../%2F?prefix=a b&list-type=2&x="),
    (
        "sigv4_chunks",
        "\u{5}\u{3}5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n",
    ),
    (
        "delete_xml",
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet><Object><Key>a&amp;b</Key><VersionId>1</VersionId></Object><Object><Key>c&#x41;</Key></Object></Delete>",
    ),
    (
        "store_records",
        "{\"first_at\":\"2026-01-01T00:00:00Z\",\"changed_at\":\"2026-01-01T00:00:00Z\",\"digest\":[1,2,3,4,5,6,7,8],\"acknowledged\":null}",
    ),
    ("store_records", "\"AKIAIOSFODNN7EXAMPLE\""),
    ("grpc", "\u{1}\n\u{4}name\u{12}\u{3}abc"),
];
