//! The checksums that S3 knows, in trailers: how long they are, and whether a body has the one that
//! is stated (gateway.md 26, 29). It must never take a value that it did not compare for checked.

use aws_lc_rs::digest;
use bascule_sigv4::Trailers;
use crc_fast::CrcAlgorithm;
use data_encoding::BASE64;
use http::{HeaderName, HeaderValue};

use crate::headers::is_checksum;

/// Why a body's trailers are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChecksumError {
    #[error("a trailer is not a checksum")]
    Other,
    #[error("the value of a checksum trailer is malformed")]
    Malformed,
    #[error("the body has not the checksum that its trailer states")]
    Mismatch,
    #[error("a checksum trailer of this algorithm can neither be passed on nor compared here")]
    Unknown,
}

struct Algorithm {
    name: &'static str,
    bytes: usize,
    start: Option<fn() -> Sum>,
}

const ALGORITHMS: &[Algorithm] = &[
    computed("x-amz-checksum-crc32", 4, || {
        crc(CrcAlgorithm::Crc32IsoHdlc)
    }),
    computed("x-amz-checksum-crc32c", 4, || crc(CrcAlgorithm::Crc32Iscsi)),
    computed("x-amz-checksum-crc64nvme", 8, || {
        crc(CrcAlgorithm::Crc64Nvme)
    }),
    computed("x-amz-checksum-sha1", 20, || {
        sha(&digest::SHA1_FOR_LEGACY_USE_ONLY)
    }),
    computed("x-amz-checksum-sha256", 32, || sha(&digest::SHA256)),
    computed("x-amz-checksum-sha512", 64, || sha(&digest::SHA512)),
    passed("x-amz-checksum-md5", 16),
    passed("x-amz-checksum-xxhash64", 8),
    passed("x-amz-checksum-xxhash3", 8),
    passed("x-amz-checksum-xxhash128", 16),
];

const fn computed(name: &'static str, bytes: usize, start: fn() -> Sum) -> Algorithm {
    Algorithm {
        name,
        bytes,
        start: Some(start),
    }
}

/// Not computed here: only its length is known.
const fn passed(name: &'static str, bytes: usize) -> Algorithm {
    Algorithm {
        name,
        bytes,
        start: None,
    }
}

fn crc(algorithm: CrcAlgorithm) -> Sum {
    Sum::Crc(Box::new(crc_fast::Digest::new(algorithm)))
}

fn sha(algorithm: &'static digest::Algorithm) -> Sum {
    Sum::Sha(digest::Context::new(algorithm))
}

fn algorithm(name: &str) -> Option<&'static Algorithm> {
    ALGORITHMS.iter().find(|algorithm| algorithm.name == name)
}

/// Characters of the checksum's value, by its trailer's name.
pub(crate) fn value_length(name: &HeaderName) -> Option<u64> {
    algorithm(name.as_str()).map(|algorithm| BASE64.encode_len(algorithm.bytes) as u64)
}

/// The trailer of an algorithm as `x-amz-sdk-checksum-algorithm` names it.
pub(crate) fn trailer_of(algorithm_name: &str) -> Option<HeaderName> {
    let name = format!("x-amz-checksum-{}", algorithm_name.to_ascii_lowercase());
    algorithm(&name).map(|algorithm| HeaderName::from_static(algorithm.name))
}

enum Sum {
    Crc(Box<crc_fast::Digest>),
    Sha(digest::Context),
}

/// What a body's bytes add up to, by every algorithm that its trailers may name.
pub(crate) struct Checksums(Vec<(&'static Algorithm, Sum)>);

impl Checksums {
    /// Those to compute for these trailers: all, where none was announced.
    pub(crate) fn of(trailers: &Trailers) -> Self {
        let wanted = |algorithm: &&Algorithm| match trailers {
            Trailers::Forbidden => false,
            Trailers::Announced(names) => names.iter().any(|name| name == algorithm.name),
            Trailers::Any => true,
        };
        let begun = |algorithm: &'static Algorithm| Some((algorithm, (algorithm.start?)()));
        Self(ALGORITHMS.iter().filter(wanted).filter_map(begun).collect())
    }

    /// Whether the trailer of this name can be compared here.
    pub(crate) fn compares(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(algorithm, _)| name == algorithm.name)
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        for (_, sum) in &mut self.0 {
            match sum {
                Sum::Crc(crc) => crc.update(data),
                Sum::Sha(sha) => sha.update(data),
            }
        }
    }

    /// Compares what the trailers state with what the body has.
    pub(crate) fn check(
        &self,
        trailers: &[(HeaderName, HeaderValue)],
    ) -> Result<(), ChecksumError> {
        for (name, value) in trailers {
            if !is_checksum(name.as_str()) {
                return Err(ChecksumError::Other);
            }
            let Some(known) = algorithm(name.as_str()) else {
                continue;
            };
            let stated = BASE64
                .decode(value.as_bytes())
                .ok()
                .filter(|stated| stated.len() == known.bytes)
                .ok_or(ChecksumError::Malformed)?;
            let found = self.0.iter().find(|(algorithm, _)| algorithm.name == name);
            if found.is_some_and(|(_, sum)| !sum.is(&stated)) {
                return Err(ChecksumError::Mismatch);
            }
        }
        Ok(())
    }
}

impl Sum {
    fn is(&self, stated: &[u8]) -> bool {
        match self {
            // Big-endian, in as many bytes as the algorithm has.
            Self::Crc(crc) => crc.finalize().to_be_bytes().ends_with(stated),
            Self::Sha(sha) => sha.clone().finish().as_ref() == stated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the nine digits, from the catalogues of the algorithms.
    const KNOWN: &[(&str, &str)] = &[
        ("x-amz-checksum-crc32", "y/Q5Jg=="),
        ("x-amz-checksum-crc32c", "4waSgw=="),
        ("x-amz-checksum-crc64nvme", "rosUhgp5mIg="),
        ("x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="),
        (
            "x-amz-checksum-sha256",
            "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=",
        ),
    ];

    fn trailer(name: &str, value: &str) -> (HeaderName, HeaderValue) {
        (name.parse().unwrap(), value.parse().unwrap())
    }

    #[test]
    fn r29_every_algorithm_is_computed_and_has_a_known_length() {
        for trailers in [
            Trailers::Any,
            Trailers::Announced(
                KNOWN
                    .iter()
                    .map(|(name, _)| name.parse().unwrap())
                    .collect(),
            ),
        ] {
            let mut sums = Checksums::of(&trailers);
            sums.update(b"1234");
            sums.update(b"56789");
            for &(name, value) in KNOWN {
                let (name, value) = trailer(name, value);
                assert_eq!(value_length(&name), Some(value.len() as u64), "{name}");
                assert!(sums.compares(&name));
                assert_eq!(sums.check(&[(name, value)]), Ok(()));
            }
            sums.update(b"0");
            for &(name, value) in KNOWN {
                assert_eq!(
                    sums.check(&[trailer(name, value)]),
                    Err(ChecksumError::Mismatch),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn a_value_of_the_wrong_length_is_malformed_and_other_trailers_are_refused() {
        let sums = Checksums::of(&Trailers::Any);
        for (name, value) in [
            ("x-amz-checksum-crc32", "AAAA"),
            ("x-amz-checksum-crc32", "AAAAAAAAAAA="),
            ("x-amz-checksum-xxhash3", "AAAAAA=="),
            ("x-amz-checksum-sha512", "not base64"),
        ] {
            let malformed = Err(ChecksumError::Malformed);
            assert_eq!(sums.check(&[trailer(name, value)]), malformed, "{name}");
        }
        assert_eq!(
            sums.check(&[trailer("x-amz-meta-a", "b")]),
            Err(ChecksumError::Other)
        );
        assert_eq!(
            sums.check(&[trailer("x-amz-checksum-future", "anything")]),
            Ok(())
        );
    }

    #[test]
    fn an_sdk_names_algorithms_in_capitals() {
        assert_eq!(trailer_of("CRC64NVME").unwrap(), "x-amz-checksum-crc64nvme");
        assert_eq!(trailer_of("SHOE"), None);
    }
}
