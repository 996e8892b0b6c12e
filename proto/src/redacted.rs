//! `Debug` of messages that hold secrets or what stands in files of the user's: it tells neither.

use std::fmt;

use crate::v1::{Credentials, OriginalFile};

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(redacted)")
    }
}

impl fmt::Debug for OriginalFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OriginalFile")
            .field("path", &self.path)
            .field("len", &self.content.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::v1;

    #[test]
    fn d8_debug_tells_neither_a_secret_nor_what_stands_in_a_file() {
        let credentials = v1::Credentials {
            access_key_id: "AKIAEXAMPLE".into(),
            secret_access_key: "hunter2hunter2".into(),
        };
        let access = v1::AccessResponse {
            credentials: Some(credentials.clone()),
            ..v1::AccessResponse::default()
        };
        let prepare = v1::PrepareAdoptionRequest {
            files: vec![v1::OriginalFile {
                path: "/home/a/.config/rclone/rclone.conf".into(),
                content: b"hunter2hunter2".to_vec(),
            }],
            ..v1::PrepareAdoptionRequest::default()
        };
        let connect = v1::ConnectRequest {
            credentials: Some(credentials),
            ..v1::ConnectRequest::default()
        };
        for text in [
            format!("{access:?}"),
            format!("{prepare:?}"),
            format!("{connect:?}"),
        ] {
            assert!(!text.contains("hunter2"), "{text}");
            // As a list of bytes.
            assert!(!text.contains("104, 117"), "{text}");
        }
    }
}
