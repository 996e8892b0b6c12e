//! No adapter can change a bucket on its own account (architecture invariant 4): outside the
//! embedded service, which answers key holders, no source names a method that changes anything.
#![allow(clippy::unwrap_used, reason = "tests: a panic is a failure")]

use std::{
    fs,
    path::{Path, PathBuf},
};

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else {
            into.push(path);
        }
    }
}

#[test]
fn no_source_outside_the_embedded_service_names_a_mutating_method() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    sources(&root, &mut found);
    assert!(found.len() > 15);
    for path in found
        .iter()
        .filter(|path| !path.starts_with(root.join("local")))
    {
        let text = fs::read_to_string(path).unwrap();
        if path.ends_with("src/post.rs") {
            // A webhook of the user's is told by POST. It can change no bucket: it signs nothing.
            for word in ["sigv4", "Signer", "Credentials", "SecretKey", "Storage"] {
                assert!(!text.contains(word), "{} names {word}", path.display());
            }
            continue;
        }
        for word in [
            "Method::PUT",
            "Method::POST",
            "Method::DELETE",
            "Method::PATCH",
            "\"PUT\"",
            "\"POST\"",
            "\"DELETE\"",
        ] {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
    }
}

#[test]
fn the_embedded_service_has_no_bucket_writes() {
    let service = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/local/service.rs");
    let text = fs::read_to_string(service).unwrap();
    let allowed = [
        "list_buckets",
        "head_bucket",
        "get_bucket_location",
        "get_bucket_versioning",
        "list_objects",
        "list_objects_v2",
        "get_object",
        "head_object",
        "put_object",
        "copy_object",
        "delete_object",
        "delete_objects",
        "create_multipart_upload",
        "upload_part",
        "upload_part_copy",
        "list_parts",
        "list_multipart_uploads",
        "complete_multipart_upload",
        "abort_multipart_upload",
        "on_disk",
    ];
    for line in text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("async fn "))
    {
        let name = line.split(['(', '<']).next().unwrap();
        assert!(
            allowed.contains(&name),
            "{name} is not an operation on objects or a read"
        );
    }
}
