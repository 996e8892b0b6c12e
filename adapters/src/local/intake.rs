//! Takes a body in: to a staged file, with every digest that was announced checked before the
//! file is anything but staged.

use std::fs::File;

use data_encoding::{BASE64, HEXLOWER};
use futures_util::StreamExt;
use s3s::{
    checksum::ChecksumHasher,
    crypto::{Checksum as _, Md5},
    dto::{Checksum, ChecksumAlgorithm, StreamingBlob},
};
use tokio::io::AsyncWriteExt;

use super::{Fault, framing::Mismatch};

/// What the request announced about its body.
#[derive(Default)]
pub(crate) struct Announced {
    pub(crate) length: Option<i64>,
    pub(crate) md5: Option<String>,
    pub(crate) checksum: Checksum,
    pub(crate) algorithm: Option<ChecksumAlgorithm>,
}

/// What came.
pub(crate) struct Taken {
    pub(crate) md5: [u8; 16],
    pub(crate) checksum: Checksum,
}

impl Taken {
    /// The ETag of an object in one piece.
    pub(crate) fn etag(&self) -> String {
        HEXLOWER.encode(&self.md5)
    }
}

/// Writes the body to the file, checks it and syncs it.
pub(crate) async fn take(
    body: Option<StreamingBlob>,
    file: File,
    announced: Announced,
) -> Result<Taken, Fault> {
    let mut md5 = Md5::new();
    let mut sums = hasher(&announced)?;
    let mut written: u64 = 0;
    let mut file = tokio::fs::File::from_std(file);
    if let Some(mut body) = body {
        while let Some(piece) = body.next().await {
            // Cut by the client, or by the gateway, which then wants nothing to be stored.
            let piece = piece.map_err(|error| {
                if error.is::<Mismatch>() {
                    Fault::BadDigest("The body does not match its announced digest.")
                } else {
                    Fault::Incomplete
                }
            })?;
            md5.update(&piece);
            sums.update(&piece);
            written += piece.len() as u64;
            file.write_all(&piece).await?;
        }
    }
    file.flush().await?;
    if announced
        .length
        .is_some_and(|length| u64::try_from(length) != Ok(written))
    {
        return Err(Fault::Incomplete);
    }
    let md5: [u8; 16] = md5.finalize();
    if let Some(expected) = &announced.md5 {
        let expected = BASE64
            .decode(expected.as_bytes())
            .map_err(|_| Fault::InvalidDigest)?;
        if expected != md5 {
            return Err(Fault::BadDigest("Content-MD5 does not match the body."));
        }
    }
    let checksum = sums.finalize();
    compare(&announced.checksum, &checksum)?;
    file.sync_all().await?;
    Ok(Taken { md5, checksum })
}

fn hasher(announced: &Announced) -> Result<ChecksumHasher, Fault> {
    let named = announced.algorithm.as_ref().map(ChecksumAlgorithm::as_str);
    let wanted = |given: &Option<String>, name: &str| given.is_some() || named == Some(name);
    let sum = &announced.checksum;
    let known = [
        ChecksumAlgorithm::CRC32,
        ChecksumAlgorithm::CRC32C,
        ChecksumAlgorithm::SHA1,
        ChecksumAlgorithm::SHA256,
        ChecksumAlgorithm::CRC64NVME,
    ];
    if named.is_some_and(|name| !known.contains(&name)) {
        return Err(Fault::NotImplemented(
            "This checksum algorithm is not supported.",
        ));
    }
    Ok(ChecksumHasher {
        crc32: wanted(&sum.checksum_crc32, ChecksumAlgorithm::CRC32).then(Default::default),
        crc32c: wanted(&sum.checksum_crc32c, ChecksumAlgorithm::CRC32C).then(Default::default),
        sha1: wanted(&sum.checksum_sha1, ChecksumAlgorithm::SHA1).then(Default::default),
        sha256: wanted(&sum.checksum_sha256, ChecksumAlgorithm::SHA256).then(Default::default),
        crc64nvme: wanted(&sum.checksum_crc64nvme, ChecksumAlgorithm::CRC64NVME)
            .then(Default::default),
    })
}

fn compare(announced: &Checksum, found: &Checksum) -> Result<(), Fault> {
    for (announced, found) in [
        (&announced.checksum_crc32, &found.checksum_crc32),
        (&announced.checksum_crc32c, &found.checksum_crc32c),
        (&announced.checksum_sha1, &found.checksum_sha1),
        (&announced.checksum_sha256, &found.checksum_sha256),
        (&announced.checksum_crc64nvme, &found.checksum_crc64nvme),
    ] {
        if announced.is_some() && announced != found {
            return Err(Fault::BadDigest("A checksum does not match the body."));
        }
    }
    Ok(())
}
