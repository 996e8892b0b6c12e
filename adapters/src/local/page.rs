//! Listings as S3 answers them: continuation, limits, encoding.

use data_encoding::BASE64URL_NOPAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::*;

use super::{
    Fault,
    folder::Folder,
    uploads::{Part as UploadPart, Pending},
    walk::{After, Item, Listing, Query, list},
};

const LIMIT: i32 = 1000;
/// What `encoding-type=url` leaves as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Encodes names when that was asked for.
struct Encoding(bool);

impl Encoding {
    fn of(wanted: Option<&EncodingType>) -> Result<Self, Fault> {
        match wanted.map(EncodingType::as_str) {
            None => Ok(Self(false)),
            Some(EncodingType::URL) => Ok(Self(true)),
            Some(_) => Err(Fault::InvalidArgument("The encoding type can only be url.")),
        }
    }

    fn text(&self, text: String) -> String {
        if self.0 {
            utf8_percent_encode(&text, PLAIN).to_string()
        } else {
            text
        }
    }

    fn objects(&self, items: Vec<Item>) -> Vec<Object> {
        let object = |item: Item| Object {
            key: Some(self.text(item.key)),
            size: i64::try_from(item.size).ok(),
            last_modified: Some(item.modified.into()),
            e_tag: Some(ETag::Strong(item.etag)),
            storage_class: Some(ObjectStorageClass::from_static(
                ObjectStorageClass::STANDARD,
            )),
            ..Default::default()
        };
        items.into_iter().map(object).collect()
    }

    fn prefixes(&self, prefixes: Vec<String>) -> Vec<CommonPrefix> {
        prefixes
            .into_iter()
            .map(|prefix| CommonPrefix {
                prefix: Some(self.text(prefix)),
            })
            .collect()
    }
}

fn limit(wanted: Option<i32>) -> Result<i32, Fault> {
    match wanted.unwrap_or(LIMIT) {
        wanted if wanted < 0 => Err(Fault::InvalidArgument(
            "The number of keys can't be negative.",
        )),
        wanted => Ok(wanted.min(LIMIT)),
    }
}

fn token_of(after: &After) -> String {
    let text = match after {
        After::Start => return String::new(),
        After::Key(key) => format!("k{key}"),
        After::Prefix(prefix) => format!("p{prefix}"),
    };
    BASE64URL_NOPAD.encode(text.as_bytes())
}

fn after_of(token: &str) -> Result<After, Fault> {
    let text = BASE64URL_NOPAD
        .decode(token.as_bytes())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .unwrap_or_default();
    match text.split_at_checked(1) {
        Some(("k", key)) => Ok(After::Key(key.to_owned())),
        Some(("p", prefix)) => Ok(After::Prefix(prefix.to_owned())),
        _ => Err(Fault::InvalidArgument(
            "The continuation token is not one of ours.",
        )),
    }
}

/// A name given by the client to go on after; one that ends as a common prefix does stands for
/// all that is below it.
fn after_name(name: &str, delimiter: Option<&str>) -> After {
    match delimiter {
        Some(delimiter) if name.ends_with(delimiter) => After::Prefix(name.to_owned()),
        _ if name.is_empty() => After::Start,
        _ => After::Key(name.to_owned()),
    }
}

/// ListObjectsV2.
pub(crate) fn version_2(
    folder: &Folder,
    input: ListObjectsV2Input,
) -> Result<ListObjectsV2Output, Fault> {
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let max_keys = limit(input.max_keys)?;
    let delimiter = input
        .delimiter
        .as_deref()
        .filter(|delimiter| !delimiter.is_empty());
    let after = match (&input.continuation_token, &input.start_after) {
        (Some(token), _) => after_of(token)?,
        (None, Some(name)) => after_name(name, delimiter),
        (None, None) => After::Start,
    };
    let query = Query {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter,
        after,
        limit: usize::try_from(max_keys).unwrap_or_default(),
    };
    let Listing {
        items,
        prefixes,
        next,
    } = list(folder, &input.bucket, &query)?;
    Ok(ListObjectsV2Output {
        key_count: i32::try_from(items.len() + prefixes.len()).ok(),
        max_keys: Some(max_keys),
        is_truncated: Some(next.is_some()),
        next_continuation_token: next.as_ref().map(token_of),
        contents: Some(encoding.objects(items)),
        common_prefixes: Some(encoding.prefixes(prefixes)),
        prefix: Some(encoding.text(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| encoding.text(text)),
        start_after: input.start_after.map(|text| encoding.text(text)),
        continuation_token: input.continuation_token,
        encoding_type: input.encoding_type,
        name: Some(input.bucket),
        ..Default::default()
    })
}

/// ListObjects, the older form.
pub(crate) fn version_1(
    folder: &Folder,
    input: ListObjectsInput,
) -> Result<ListObjectsOutput, Fault> {
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    let max_keys = limit(input.max_keys)?;
    let delimiter = input
        .delimiter
        .as_deref()
        .filter(|delimiter| !delimiter.is_empty());
    let query = Query {
        prefix: input.prefix.as_deref().unwrap_or_default(),
        delimiter,
        after: after_name(input.marker.as_deref().unwrap_or_default(), delimiter),
        limit: usize::try_from(max_keys).unwrap_or_default(),
    };
    let Listing {
        items,
        prefixes,
        next,
    } = list(folder, &input.bucket, &query)?;
    // Always told, although S3 tells it only with a delimiter: clients use it when it is there.
    let next_marker = next.as_ref().map(|after| match after {
        After::Start => String::new(),
        After::Key(name) | After::Prefix(name) => encoding.text(name.clone()),
    });
    Ok(ListObjectsOutput {
        max_keys: Some(max_keys),
        is_truncated: Some(next.is_some()),
        next_marker,
        contents: Some(encoding.objects(items)),
        common_prefixes: Some(encoding.prefixes(prefixes)),
        prefix: Some(encoding.text(input.prefix.unwrap_or_default())),
        delimiter: input.delimiter.map(|text| encoding.text(text)),
        marker: Some(encoding.text(input.marker.unwrap_or_default())),
        encoding_type: input.encoding_type,
        name: Some(input.bucket),
        ..Default::default()
    })
}

/// ListParts.
pub(crate) fn parts(there: Vec<UploadPart>, input: ListPartsInput) -> ListPartsOutput {
    let marker = input.part_number_marker.unwrap_or_default();
    let max_parts = input.max_parts.unwrap_or(LIMIT).clamp(1, LIMIT);
    let mut rest = there
        .into_iter()
        .filter(|part| part.number > marker)
        .peekable();
    let mut listed: Vec<Part> = Vec::new();
    while let Some(part) = rest.next_if(|_| listed.len() < max_parts as usize) {
        listed.push(Part {
            part_number: Some(part.number),
            size: i64::try_from(part.size).ok(),
            e_tag: Some(ETag::Strong(part.etag())),
            last_modified: Some(part.modified.into()),
            ..Default::default()
        });
    }
    let truncated = rest.peek().is_some();
    ListPartsOutput {
        is_truncated: Some(truncated),
        next_part_number_marker: listed
            .last()
            .filter(|_| truncated)
            .and_then(|part| part.part_number),
        part_number_marker: Some(marker),
        max_parts: Some(max_parts),
        parts: Some(listed),
        bucket: Some(input.bucket),
        key: Some(input.key),
        upload_id: Some(input.upload_id),
        ..Default::default()
    }
}

/// ListMultipartUploads.
pub(crate) fn uploads(
    pending: Vec<Pending>,
    input: ListMultipartUploadsInput,
) -> Result<ListMultipartUploadsOutput, Fault> {
    let encoding = Encoding::of(input.encoding_type.as_ref())?;
    if input
        .delimiter
        .as_deref()
        .is_some_and(|delimiter| !delimiter.is_empty())
    {
        return Err(Fault::NotImplemented(
            "Uploads can't be listed with a delimiter.",
        ));
    }
    let max_uploads = limit(input.max_uploads)?.max(1);
    let prefix = input.prefix.clone().unwrap_or_default();
    let after = |upload: &Pending| match (&input.key_marker, &input.upload_id_marker) {
        (None, _) => true,
        (Some(key), None) => upload.key.as_bytes() > key.as_bytes(),
        (Some(key), Some(id)) => (upload.key.as_bytes(), &upload.id) > (key.as_bytes(), id),
    };
    let mut rest = pending
        .into_iter()
        .filter(|upload| upload.key.starts_with(&prefix) && after(upload))
        .peekable();
    let (mut listed, mut last): (Vec<MultipartUpload>, _) = (Vec::new(), None);
    while let Some(upload) = rest.next_if(|_| listed.len() < max_uploads as usize) {
        last = Some((upload.key.clone(), upload.id.clone()));
        listed.push(MultipartUpload {
            key: Some(encoding.text(upload.key)),
            upload_id: Some(upload.id),
            initiated: Some(upload.started.into()),
            ..Default::default()
        });
    }
    let next = last.filter(|_| rest.peek().is_some());
    Ok(ListMultipartUploadsOutput {
        is_truncated: Some(next.is_some()),
        next_key_marker: next.as_ref().map(|(key, _)| encoding.text(key.clone())),
        next_upload_id_marker: next.map(|(_, id)| id),
        max_uploads: Some(max_uploads),
        uploads: Some(listed),
        key_marker: input.key_marker.map(|text| encoding.text(text)),
        upload_id_marker: input.upload_id_marker,
        prefix: Some(encoding.text(prefix)),
        encoding_type: input.encoding_type,
        bucket: Some(input.bucket),
        ..Default::default()
    })
}
