//! The story itself. Each step compares what it sees with what was promised.

use std::{collections::BTreeMap, path::Path};

use bascule_domain::secret::{Credentials, SecretKey};
use bascule_proto::v1::{self, deletion_event::Event};
use http::StatusCode;

use super::{
    Outcome, Teller,
    s3::{Access, Answer},
    stage::Stage,
};
use crate::{channel::Client, error::Error};

const BUCKET: &str = "photos";
const UPLOAD: &str = "2026/through the gateway.txt";
const UPLOADED: &[u8] = b"Sent with a key of its own.\n";
const FILES: [(&str, &[u8]); 3] = [
    (
        "sunrise.jpg",
        b"\xff\xd8\xff\xe0 not a real picture \x00\x01\x02",
    ),
    ("2025/harbour.jpg", b"\xff\xd8\xff\xe0 nor is this one"),
    ("notes.txt", b"Both banks stay where they are.\n"),
];

/// Tells it to the end, or up to the first step that fails.
pub(super) async fn tell(stage: &mut Stage, teller: &mut Teller) -> Option<()> {
    let client = teller.step("start the daemon", stage.start().await, |_| {
        "in a folder of its own".to_owned()
    })?;
    let buckets = stage.buckets();
    teller.step(
        "connect a folder of files",
        connect(&client, &buckets, "demo").await,
        |()| format!("bucket {BUCKET}, {} files", FILES.len()),
    )?;
    let old = teller.step("issue a key", issue(&client, "demo").await, told_key)?;
    let uploaded = upload(&old).await;
    teller.step("upload and read back with it", uploaded, |()| {
        format!("{} bytes through {}", UPLOADED.len(), old.endpoint)
    })?;
    let before = teller.step(
        "look at the files",
        contents(&buckets).and_then(expected),
        |files| format!("{} files", files.len()),
    )?;
    let vouched = teller.step("look at the plan", plan(&client, "demo").await, |boxes| {
        format!("vouched for: {}", boxes.join(", "))
    })?;
    let (deletion, receipt) = teller.step(
        "delete the connection",
        delete(&client, "demo", vouched).await,
        |(deletion, _)| format!("revoked; verdict {}", deletion.verdict),
    )?;
    let refused = refused(&old).await;
    teller.step("send the same request again", refused, Answer::shown)?;
    let unchanged = contents(&buckets).and_then(|after| same(&before, &after));
    teller.step("compare the files byte for byte", unchanged, |count| {
        format!("{count} files, all as before")
    })?;
    let checked = check_receipt(&client, &deletion, &receipt).await;
    teller.step("show the receipt", checked, Clone::clone)?;
    let again = async {
        connect(&client, &buckets, "demo-again").await?;
        let new = issue(&client, "demo-again").await?;
        second_life(&old, &new).await?;
        Ok(new)
    };
    teller.step("connect again: a new key works", again.await, told_key)?;
    Some(())
}

fn told_key(access: &Access) -> String {
    access.credentials.access_key_id.to_string()
}

fn words(error: impl Into<Error>) -> String {
    error.into().message
}

async fn connect(client: &Client, folder: &Path, name: &str) -> Outcome<()> {
    for (file, content) in FILES {
        let path = folder.join(BUCKET).join(file);
        let written = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| {
                if path.exists() {
                    Ok(())
                } else {
                    std::fs::write(&path, content)
                }
            });
        written.map_err(|error| format!("{}: {error}", path.display()))?;
    }
    let request = v1::ConnectRequest {
        name: name.to_owned(),
        provider: v1::Provider::Local.into(),
        buckets: vec![BUCKET.to_owned()],
        path: folder.display().to_string(),
        ..v1::ConnectRequest::default()
    };
    client.connections().connect(request).await.map_err(words)?;
    Ok(())
}

async fn issue(client: &Client, connection: &str) -> Outcome<Access> {
    let request = v1::IssueKeyRequest {
        connection: connection.to_owned(),
        label: "demo tool".to_owned(),
        permission: v1::Permission::ReadWrite.into(),
        ..v1::IssueKeyRequest::default()
    };
    let issued = client
        .keys()
        .issue(request)
        .await
        .map_err(words)?
        .into_inner();
    let id = issued.key.unwrap_or_default().access_key_id;
    Ok(Access {
        endpoint: issued
            .endpoint
            .parse()
            .map_err(|error| format!("{error}"))?,
        region: issued.region.parse().map_err(|error| format!("{error}"))?,
        credentials: Credentials {
            access_key_id: id.parse().map_err(|error| format!("{error}"))?,
            secret: SecretKey::parse(&issued.secret_access_key)
                .map_err(|error| error.to_string())?,
        },
    })
}

async fn upload(access: &Access) -> Outcome<()> {
    let put = access.put(BUCKET, UPLOAD, UPLOADED).await?;
    if put.status != StatusCode::OK {
        return Err(format!("the upload was answered with {}", put.shown()));
    }
    read_back(access).await
}

async fn read_back(access: &Access) -> Outcome<()> {
    let got = access.get(BUCKET, UPLOAD).await?;
    if got.status != StatusCode::OK {
        return Err(format!("reading was answered with {}", got.shown()));
    }
    if got.body != UPLOADED {
        return Err("what was read is not what was sent".to_owned());
    }
    Ok(())
}

/// What stands in the way of a deletion, with the card taken out. A key that was used a moment ago
/// is not quiet, so somebody has to vouch for it.
async fn plan(client: &Client, connection: &str) -> Outcome<Vec<String>> {
    let request = v1::ReconnectCardRequest {
        name: connection.to_owned(),
    };
    let card = client.connections().reconnect_card(request).await;
    card.map_err(words)?;
    let request = v1::PlanRequest {
        connection: connection.to_owned(),
        emergency: false,
    };
    let plan = client.deletions().plan(request).await.map_err(words)?;
    let boxes = plan.into_inner().boxes.into_iter();
    let open = |b: &v1::Box| matches!(b.state(), v1::BoxState::Open | v1::BoxState::Unknown);
    let names: Vec<_> = boxes.filter(open).map(|b| b.name).collect();
    match names.iter().any(|name| name == "quiet") {
        true => Ok(names),
        false => Err("the key that was just used counts as quiet".to_owned()),
    }
}

/// Deletes and follows to the receipt.
async fn delete(
    client: &Client,
    connection: &str,
    vouched: Vec<String>,
) -> Outcome<(v1::Deletion, String)> {
    let request = v1::StartDeletionRequest {
        connection: connection.to_owned(),
        acknowledged: vouched,
        ..v1::StartDeletionRequest::default()
    };
    let mut stream = client
        .deletions()
        .start(request)
        .await
        .map_err(words)?
        .into_inner();
    let mut revoked = false;
    while let Some(event) = stream.message().await.map_err(words)? {
        let deletion = event.deletion.unwrap_or_default();
        revoked |= deletion.revoked_at.is_some();
        match event.event {
            Some(Event::Parked(reason)) => return Err(format!("it waits: {reason}")),
            Some(Event::Receipt(receipt)) if revoked && deletion.verdict == "intact" => {
                return Ok((deletion, receipt));
            }
            Some(Event::Receipt(_)) => return Err(format!("the verdict is {}", deletion.verdict)),
            _ => {}
        }
    }
    Err("it ended without a receipt".to_owned())
}

/// The request that worked must be refused, with the cause in the request id.
async fn refused(access: &Access) -> Outcome<Answer> {
    let answer = access.get(BUCKET, UPLOAD).await?;
    let dead = answer.status == StatusCode::FORBIDDEN
        && answer.code() == "InvalidAccessKeyId"
        && answer.request_id.starts_with("KEY-REVOKED");
    if dead {
        Ok(answer)
    } else {
        Err(format!("the dead key was answered with {}", answer.shown()))
    }
}

async fn check_receipt(
    client: &Client,
    deletion: &v1::Deletion,
    streamed: &str,
) -> Outcome<String> {
    let request = v1::GetReceiptRequest {
        id: deletion.id.clone(),
    };
    let kept = client
        .deletions()
        .get_receipt(request)
        .await
        .map_err(words)?
        .into_inner()
        .receipt;
    let parse = |json: &str| {
        serde_json::from_str::<serde_json::Value>(json).map_err(|error| error.to_string())
    };
    let kept = parse(&kept)?;
    if kept != parse(streamed)? {
        return Err("the kept receipt is not the one that was handed out".to_owned());
    }
    let (verdict, keys) = (
        &kept["verdict"],
        kept["keys"].as_array().map_or(0, Vec::len),
    );
    let objects = &kept["surveys"]["after"][0]["objects"];
    if verdict != "intact"
        || keys != 1
        || *objects != FILES.len() + 1
        || kept["erased_at"].is_null()
    {
        return Err(format!(
            "verdict {verdict}, {keys} keys, {objects} objects, erased {}",
            kept["erased_at"]
        ));
    }
    Ok(format!(
        "{}: 1 dead key, {objects} objects before and after, intact",
        deletion.id
    ))
}

async fn second_life(old: &Access, new: &Access) -> Outcome<()> {
    if old.credentials.access_key_id == new.credentials.access_key_id {
        return Err("the new key is the old one".to_owned());
    }
    read_back(new).await?;
    refused(old).await.map(drop)
}

type Files = BTreeMap<String, Vec<u8>>;

/// Every file of the bucket, with its bytes.
fn contents(buckets: &Path) -> Outcome<Files> {
    fn walk(root: &Path, folder: &Path, files: &mut Files) -> std::io::Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(root, &path, files)?;
            } else {
                let name = path
                    .strip_prefix(root)
                    .unwrap_or(&path)
                    .display()
                    .to_string();
                files.insert(name, std::fs::read(&path)?);
            }
        }
        Ok(())
    }
    let root = buckets.join(BUCKET);
    let mut files = Files::new();
    walk(&root, &root, &mut files).map_err(|error| error.to_string())?;
    Ok(files)
}

/// The files that were there and the one that was sent, byte for byte, and nothing else.
fn expected(files: Files) -> Outcome<Files> {
    let wanted: Files = FILES
        .into_iter()
        .chain([(UPLOAD, UPLOADED)])
        .map(|(name, content)| (name.to_owned(), content.to_vec()))
        .collect();
    same(&wanted, &files).map(|_| files)
}

fn same(before: &Files, after: &Files) -> Outcome<usize> {
    let differs = before
        .keys()
        .chain(after.keys())
        .find(|name| before.get(*name) != after.get(*name));
    match differs {
        None => Ok(after.len()),
        Some(name) => Err(format!("{name} is not as it was")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_missing_or_added_file_is_noticed() {
        let files: Files = [
            ("a".to_owned(), b"1".to_vec()),
            ("b".to_owned(), b"2".to_vec()),
        ]
        .into();
        assert_eq!(same(&files, &files), Ok(2));
        for change in [
            |files: &mut Files| drop(files.insert("a".into(), b"x".to_vec())),
            |files: &mut Files| drop(files.remove("b")),
            |files: &mut Files| drop(files.insert("c".into(), Vec::new())),
        ] {
            let mut other = files.clone();
            change(&mut other);
            assert!(same(&files, &other).is_err());
        }
    }

    #[test]
    fn the_files_are_read_with_their_folders() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("photos/x")).unwrap();
        std::fs::write(dir.path().join("photos/x/y"), "z").unwrap();
        assert_eq!(contents(dir.path()).unwrap()["x/y"], b"z");
        assert!(contents(&dir.path().join("none")).is_err());
    }
}
