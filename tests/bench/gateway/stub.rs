//! A provider that holds nothing and checks nothing, in a thread of its own: it answers what the
//! rows ask for from memory, so that what is left is the cost of the proxy.

use std::{fmt::Write, net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::requests::{LISTED, OPERATIONS, readable};

/// The ETag is that of an upload in parts: one that looked like an MD5 would be compared.
const STAMP: &str = "Last-Modified: Wed, 25 Nov 2026 12:00:00 GMT\r\nETag: \"d41d8cd98f00b204e9800998ecf8427e-2\"\r\n";

struct Answers {
    /// As long as the longest object.
    bytes: Bytes,
    many: Bytes,
    few: Bytes,
    buckets: Bytes,
}

/// Starts it. It ends with this program.
pub(crate) fn start(bucket: &str) -> SocketAddr {
    let longest = OPERATIONS.iter().map(|row| row.bytes).max().unwrap_or(0);
    let mut readables: Vec<_> = OPERATIONS
        .iter()
        .filter(|row| row.bytes > 0)
        .map(|row| (readable(row), row.bytes))
        .collect();
    readables.sort();
    readables.dedup();
    let answers = Arc::new(Answers {
        bytes: vec![7; longest].into(),
        many: listing(
            bucket,
            (0..LISTED).map(|number| (format!("many/object-{number:05}"), 4096)),
        ),
        few: listing(bucket, readables.into_iter()),
        buckets: format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListAllMyBucketsResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Owner><ID>stub</ID><DisplayName>stub</DisplayName></Owner><Buckets><Bucket><Name>{bucket}</Name><CreationDate>2026-11-25T12:00:00.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>"
        )
        .into(),
    });
    let (tell, address) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            tell.send(listener.local_addr().expect("an address"))
                .expect("the one who started it");
            while let Ok((socket, _)) = listener.accept().await {
                let answers = Arc::clone(&answers);
                // A client that goes away in the middle is its own affair.
                tokio::spawn(async move { serve(socket, &answers).await.ok() });
            }
        });
    });
    address.recv().expect("the stub")
}

fn listing(bucket: &str, objects: impl ExactSizeIterator<Item = (String, usize)>) -> Bytes {
    let count = objects.len();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>{bucket}</Name><Prefix></Prefix><KeyCount>{count}</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
    );
    for (key, size) in objects {
        let _ = write!(
            text,
            "<Contents><Key>{key}</Key><LastModified>2026-11-25T12:00:00.000Z</LastModified><ETag>&#34;d41d8cd98f00b204e9800998ecf8427e-2&#34;</ETag><Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        );
    }
    text.push_str("</ListBucketResult>");
    text.into()
}

async fn serve(mut socket: TcpStream, answers: &Answers) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut buffer = vec![0; 256 * 1024];
    let mut filled = 0;
    loop {
        let (head_length, body, answer, whole) = loop {
            let end = buffer[..filled]
                .windows(4)
                .position(|window| window == b"\r\n\r\n");
            if let Some(at) = end {
                let head = std::str::from_utf8(&buffer[..at])?;
                let (head_answer, body_answer) = answer(head, answers)?;
                break (at + 4, length(head)?, head_answer, body_answer);
            }
            match socket.read(&mut buffer[filled..]).await? {
                0 => return Ok(()),
                read => filled += read,
            }
        };
        let mut left = body;
        let here = (filled - head_length).min(left);
        left -= here;
        buffer.copy_within(head_length + here..filled, 0);
        filled -= head_length + here;
        while left > 0 {
            let most = left.min(buffer.len());
            match socket.read(&mut buffer[..most]).await? {
                0 => return Ok(()),
                read => left -= read,
            }
        }
        if whole.len() <= 64 * 1024 {
            socket
                .write_all(&[answer.as_bytes(), &whole].concat())
                .await?;
        } else {
            socket.write_all(answer.as_bytes()).await?;
            socket.write_all(&whole).await?;
        }
    }
}

/// Names say how long an object is, so that what was written can be asked for.
fn size(object: &str) -> Option<usize> {
    let size = match object.strip_prefix("written/") {
        Some(written) => written.split_once('-')?.0,
        None => object.strip_prefix("read-")?,
    };
    size.parse().ok()
}

fn header<'a>(head: &'a str, wanted: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case(wanted).then(|| value.trim())
    })
}

fn length(head: &str) -> Result<usize> {
    header(head, "content-length").map_or(Ok(0), |text| text.parse().context("a length"))
}

/// First and last byte of the part that is asked for; `rclone serve` reads in parts.
fn range(head: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = header(head, "range")?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    let first = first.parse().ok()?;
    let last = last
        .parse()
        .map_or(size - 1, |last: usize| last.min(size - 1));
    (first <= last).then_some((first, last))
}

/// Head and body of the answer.
fn answer(head: &str, answers: &Answers) -> Result<(String, Bytes)> {
    let mut words = head.split(' ');
    let method = words.next().context("a method")?;
    let target = words.next().context("a target")?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let object = path.trim_start_matches('/').split_once('/');
    let body = match (method, object) {
        ("PUT", _) => Bytes::new(),
        (_, Some((_, object))) if !object.is_empty() => {
            match size(object) {
                Some(size) if size <= answers.bytes.len() => {
                    if let Some((first, last)) = range(head, size) {
                        let part = answers.bytes.slice(first..=last);
                        let head = format!(
                            "HTTP/1.1 206 Partial Content\r\n{STAMP}Content-Range: bytes {first}-{last}/{size}\r\nContent-Length: {}\r\n\r\n",
                            part.len()
                        );
                        return Ok((head, part));
                    }
                    answers.bytes.slice(..size)
                }
                _ => {
                    let none = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
                    return Ok((none.to_owned(), Bytes::new()));
                }
            }
        }
        _ if path == "/" => answers.buckets.clone(),
        _ if query.contains("prefix=many") => answers.many.clone(),
        _ if query.contains("location") => Bytes::from_static(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<LocationConstraint xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"></LocationConstraint>",
        ),
        _ if query.contains("versioning") => Bytes::from_static(
            b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<VersioningConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"/>",
        ),
        _ => answers.few.clone(),
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\n{STAMP}Content-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Ok((head, if method == "HEAD" { Bytes::new() } else { body }))
}
