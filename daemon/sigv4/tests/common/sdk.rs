//! Requests as the AWS SDK's own signer signs them, from draws that trip canonicalisers.

use std::time::{Duration, SystemTime};

use aws_sigv4::{
    http_request::{
        PayloadChecksumKind, PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation,
        SigningInstructions, SigningSettings, UriPathNormalizationMode, sign,
    },
    sign::v4,
};

use super::dice::Dice;

/// A client that signs with the SDK.
pub struct Sdk<'a> {
    pub id: &'a str,
    pub secret: &'a str,
    pub authority: &'a str,
    pub time: SystemTime,
}

impl Sdk<'_> {
    pub fn sign(
        &self,
        method: &str,
        target: &str,
        headers: &[(String, String)],
        body: SignableBody<'_>,
        region: &str,
        location: SignatureLocation,
    ) -> SigningInstructions {
        let identity =
            aws_credential_types::Credentials::new(self.id, self.secret, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name("s3")
            .time(self.time)
            .settings(settings(location))
            .build()
            .unwrap()
            .into();
        let headers = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let url = format!("http://{}{target}", self.authority);
        let request = SignableRequest::new(method, url, headers, body).unwrap();
        sign(request, &params).unwrap().into_parts().0
    }
}

fn settings(location: SignatureLocation) -> SigningSettings {
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    settings.expires_in =
        matches!(location, SignatureLocation::QueryParams).then(|| Duration::from_secs(900));
    settings.signature_location = location;
    settings
}

const AWKWARD: &[&str] = &[
    " ", "+", "%", "/", "//", ".", "..", "~", "@", "(", ")", "*", "'", "!", "=", "&", "?", "#",
    ":", ";", ",", "\\", "\"", "<", "|", "^", "`", "{", "%2F", "%252F", "%2e", "é", "e\u{301}",
    "😀", "\u{0}", "\n", "\t", "$", "[", "-", "_", "\u{feff}", "\u{202e}",
];

/// Text of plain and awkward pieces; at most `pieces` of them.
pub fn awkward(dice: &mut Dice, pieces: usize) -> String {
    let mut text = String::new();
    for _ in 0..dice.below(pieces + 1) {
        if dice.chance(60) {
            for _ in 0..=dice.below(4) {
                text.push(char::from(dice.pick(
                    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
                )));
            }
        } else {
            text.push_str(dice.pick(AWKWARD));
        }
    }
    text
}

/// User metadata, as clients send it.
pub fn metadata(dice: &mut Dice) -> Vec<(String, String)> {
    (0..dice.below(4))
        .map(|number| {
            let printable: String = (0..dice.below(12))
                .map(|_| char::from(b' ' + u8::try_from(dice.below(95)).unwrap()))
                .collect();
            (format!("x-amz-meta-{number}-a"), printable)
        })
        .collect()
}
