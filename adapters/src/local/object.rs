//! What reading, copying and removing single objects needs beside the folder: conditions,
//! ranges, answers.

use std::io::{self, Read, Seek, SeekFrom, Write};

use bytes::{Bytes, BytesMut};
use futures_util::stream::try_unfold;
use s3s::{
    S3Error, S3ErrorCode, S3Result,
    crypto::{Checksum as _, Md5},
    dto::{
        CopySource, Delete, DeleteObjectsOutput, DeletedObject, ETag, ETagCondition, Error,
        GetObjectOutput, HeadObjectOutput, Range, StreamingBlob, Timestamp, TimestampFormat,
    },
};
use tokio::io::AsyncReadExt;

use super::{
    Fault,
    folder::{Folder, Found, Stage},
};

/// One read from the disk, and the most that waits for a slow reader.
const PIECE: usize = 128 * 1024;

/// A folder keeps one version of each object, in one piece and in plain text.
pub(crate) fn plain_version(
    version: Option<&str>,
    part: Option<i32>,
    encrypted: bool,
) -> Result<(), Fault> {
    if version.is_some_and(|version| version != "null") {
        return Err(Fault::NotImplemented("A folder keeps no versions."));
    }
    if part.is_some() {
        return Err(Fault::NotImplemented(
            "Single parts of an object can't be read.",
        ));
    }
    if encrypted {
        return Err(Fault::NotImplemented("Encryption is not supported."));
    }
    Ok(())
}

/// Promises that a folder can't keep are refused, not ignored.
pub(crate) fn plain_write(encrypted: bool, tagged: bool, locked: bool) -> Result<(), Fault> {
    match (encrypted, tagged, locked) {
        (true, ..) => Err(Fault::NotImplemented("Encryption is not supported.")),
        (_, true, _) => Err(Fault::NotImplemented("Tags are not supported.")),
        (.., true) => Err(Fault::NotImplemented("Object locks are not supported.")),
        _ => Ok(()),
    }
}

pub(crate) fn plain_delete(conditional: bool) -> Result<(), Fault> {
    if conditional {
        Err(Fault::NotImplemented("This condition is not supported."))
    } else {
        Ok(())
    }
}

pub(crate) fn part_number(number: i32) -> Result<i32, Fault> {
    if (1..=10_000).contains(&number) {
        Ok(number)
    } else {
        Err(Fault::InvalidArgument(
            "A part number lies between 1 and 10000.",
        ))
    }
}

pub(crate) fn expires_text(expires: Option<&Timestamp>) -> Option<String> {
    let mut text = Vec::new();
    expires?.format(TimestampFormat::HttpDate, &mut text).ok()?;
    String::from_utf8(text).ok()
}

/// The bucket and key a copy is made from.
pub(crate) fn source(source: &CopySource) -> Result<(String, String), Fault> {
    match source {
        CopySource::Bucket {
            bucket,
            key,
            version_id,
        } => {
            plain_version(version_id.as_deref(), None, false)?;
            Ok((bucket.to_string(), key.to_string()))
        }
        _ => Err(Fault::NotImplemented(
            "A copy source is a bucket and a key.",
        )),
    }
}

/// `bytes=first-last`, both given; the whole object without.
pub(crate) fn source_range(range: Option<&str>, size: u64) -> Result<(u64, u64), Fault> {
    let Some(range) = range else {
        return Ok((0, size));
    };
    let invalid = || Fault::InvalidArgument("The source range is not bytes=first-last.");
    let (first, last) = range
        .strip_prefix("bytes=")
        .and_then(|r| r.split_once('-'))
        .ok_or_else(invalid)?;
    let (first, last): (u64, u64) = match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first <= last => (first, last),
        _ => return Err(invalid()),
    };
    if last >= size {
        return Err(Fault::InvalidRange);
    }
    Ok((first, last - first + 1))
}

/// Conditions of a read (RFC 9110, 13.2.2): ETags go before dates.
pub(crate) fn read_conditions(
    found: &Found,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    if_modified_since: Option<&Timestamp>,
    if_unmodified_since: Option<&Timestamp>,
) -> S3Result<()> {
    let modified = Timestamp::from(found.modified);
    let unchanged = match (if_match, if_unmodified_since) {
        (Some(condition), _) => matches(condition, &found.etag),
        (None, Some(since)) => modified <= *since,
        (None, None) => true,
    };
    if !unchanged {
        return Err(Fault::Precondition.into());
    }
    let news = match (if_none_match, if_modified_since) {
        (Some(condition), _) => !matches(condition, &found.etag),
        (None, Some(since)) => modified > *since,
        (None, None) => true,
    };
    if news {
        Ok(())
    } else {
        Err(S3Error::new(S3ErrorCode::NotModified))
    }
}

/// The condition on the target of a copy: that there is none.
pub(crate) fn only_new(headers: &http::HeaderMap) -> Result<Option<ETagCondition>, Fault> {
    match headers.get(http::header::IF_NONE_MATCH) {
        None => Ok(None),
        Some(value) if value == "*" => Ok(Some(ETagCondition::Any)),
        Some(_) => Err(Fault::NotImplemented(
            "If-None-Match on a copy takes no value but *.",
        )),
    }
}

/// The same for the source of a copy, where every failure is 412.
pub(crate) fn source_conditions(
    found: &Found,
    if_match: Option<&ETagCondition>,
    if_none_match: Option<&ETagCondition>,
    if_modified_since: Option<&Timestamp>,
    if_unmodified_since: Option<&Timestamp>,
) -> S3Result<()> {
    read_conditions(
        found,
        if_match,
        if_none_match,
        if_modified_since,
        if_unmodified_since,
    )
    .map_err(|_| Fault::Precondition.into())
}

fn matches(condition: &ETagCondition, etag: &str) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.value() == etag,
    }
}

/// Start, length, and the `Content-Range` for a part of an object.
fn span(range: Option<Range>, size: u64) -> Result<(u64, u64, Option<String>), Fault> {
    let Some(range) = range else {
        return Ok((0, size, None));
    };
    let range = range.check(size).map_err(|_| Fault::InvalidRange)?;
    if range.is_empty() {
        return Err(Fault::InvalidRange);
    }
    let header = format!("bytes {}-{}/{size}", range.start, range.end - 1);
    Ok((range.start, range.end - range.start, Some(header)))
}

fn length(bytes: u64) -> Result<i64, Fault> {
    i64::try_from(bytes).map_err(|_| Fault::Io(io::ErrorKind::FileTooLarge.into()))
}

/// The answer to GetObject, its body streamed from the open file.
pub(crate) fn get(found: Found, range: Option<Range>) -> S3Result<GetObjectOutput> {
    let (start, len, content_range) = span(range, found.size)?;
    let mut file = found.file;
    file.seek(SeekFrom::Start(start)).map_err(Fault::Io)?;
    let attributes = found.attributes;
    Ok(GetObjectOutput {
        body: Some(StreamingBlob::wrap::<_, io::Error>(pieces(file, len))),
        accept_ranges: Some("bytes".into()),
        content_length: Some(length(len)?),
        content_range,
        last_modified: Some(found.modified.into()),
        e_tag: Some(ETag::Strong(found.etag)),
        expires: expires(attributes.expires.as_deref()),
        content_type: attributes.content_type,
        content_encoding: attributes.content_encoding,
        content_disposition: attributes.content_disposition,
        content_language: attributes.content_language,
        cache_control: attributes.cache_control,
        metadata: Some(attributes.metadata.into_iter().collect()),
        ..Default::default()
    })
}

/// The answer to HeadObject.
pub(crate) fn head(found: Found, range: Option<Range>) -> S3Result<HeadObjectOutput> {
    let (_, len, content_range) = span(range, found.size)?;
    let attributes = found.attributes;
    Ok(HeadObjectOutput {
        accept_ranges: Some("bytes".into()),
        content_length: Some(length(len)?),
        content_range,
        last_modified: Some(found.modified.into()),
        e_tag: Some(ETag::Strong(found.etag)),
        expires: expires(attributes.expires.as_deref()),
        content_type: attributes.content_type,
        content_encoding: attributes.content_encoding,
        content_disposition: attributes.content_disposition,
        content_language: attributes.content_language,
        cache_control: attributes.cache_control,
        metadata: Some(attributes.metadata.into_iter().collect()),
        ..Default::default()
    })
}

fn expires(text: Option<&str>) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, text?).ok()
}

/// Reads exactly so many bytes; a file that became shorter is an error, never a short body.
fn pieces(
    file: std::fs::File,
    length: u64,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + Sync + 'static {
    let mut file = tokio::fs::File::from_std(file);
    file.set_max_buf_size(PIECE);
    try_unfold((file, length), |(mut file, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut piece = BytesMut::with_capacity(want);
        let got = (&mut file).take(want as u64).read_buf(&mut piece).await?;
        if got == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((piece.freeze(), (file, left - got as u64))))
    })
}

/// Copies a part of an object into a staged, synced file, and returns its MD5. It blocks.
pub(crate) fn copy(
    folder: &Folder,
    found: Found,
    start: u64,
    length: u64,
) -> Result<(Stage, [u8; 16]), Fault> {
    let (stage, mut to) = folder.stage()?;
    let mut from = found.file;
    from.seek(SeekFrom::Start(start))?;
    let mut md5 = Md5::new();
    let mut left = length;
    let mut buffer = vec![0; PIECE];
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let got = from.read(&mut buffer[..want])?;
        if got == 0 {
            return Err(Fault::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        md5.update(&buffer[..got]);
        to.write_all(&buffer[..got])?;
        left -= got as u64;
    }
    to.sync_all()?;
    Ok((stage, md5.finalize()))
}

/// Removes objects one by one; what fails is named and the rest goes on. It blocks.
pub(crate) fn remove_many(
    folder: &Folder,
    bucket: &str,
    delete: Delete,
) -> Result<DeleteObjectsOutput, Fault> {
    folder.bucket(bucket)?;
    let quiet = delete.quiet.unwrap_or(false);
    let (mut deleted, mut errors) = (Vec::new(), Vec::new());
    for object in delete.objects {
        let if_match = object.e_tag.map(ETagCondition::ETag);
        let outcome = plain_version(object.version_id.as_deref(), None, false)
            .and_then(|()| {
                plain_delete(object.last_modified_time.is_some() || object.size.is_some())
            })
            .and_then(|()| folder.remove(bucket, &object.key, if_match));
        match outcome {
            Ok(()) if quiet => {}
            Ok(()) => deleted.push(DeletedObject {
                key: Some(object.key),
                ..Default::default()
            }),
            Err(fault) => {
                let error = S3Error::from(fault);
                errors.push(Error {
                    key: Some(object.key),
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    ..Default::default()
                });
            }
        }
    }
    Ok(DeleteObjectsOutput {
        deleted: Some(deleted),
        errors: Some(errors),
        ..Default::default()
    })
}
