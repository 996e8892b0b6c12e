//! Randomness for ids and issued keys, from the operating system through aws-lc.

use aws_lc_rs::rand;
use bascule_domain::{
    access_key::AccessKeyId,
    secret::{Credentials, SecretKey},
};

/// Random bytes for a typed id.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// A key never seen before.
pub(crate) fn issue() -> Credentials {
    Credentials {
        access_key_id: AccessKeyId::issue(bytes()),
        secret: SecretKey::issue(fill),
    }
}

#[expect(
    clippy::expect_used,
    reason = "without randomness no key may be issued; aws-lc aborts on its own in that case"
)]
fn fill(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the system supplies randomness");
}
