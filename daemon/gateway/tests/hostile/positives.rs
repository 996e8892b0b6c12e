//! What the AWS SDK signs is accepted, and arrives as it was authorised (threats.md c). The many
//! are verified in `bascule-sigv4`; these go the whole way.

use std::time::{Duration, UNIX_EPOCH};

use aws_sigv4::http_request::{SignableBody, SignatureLocation};
use bascule_sigv4::{encode_path, encode_query};

use crate::{
    harness::{Dice, Forged, Line, SECRET, World, scale},
    sdk::{Sdk, awkward, metadata},
};

const SEED: u64 = 0x005d_c900;
const REQUESTS: usize = 3_000;

#[tokio::test]
async fn requests_of_the_sdk_are_accepted_and_arrive_as_they_were_authorised() {
    let world = World::new().await;
    let mut line = Line::new(&world);
    let mut dice = Dice::new(SEED);
    let authority = world.address.to_string();
    let now = world.clock.now.lock().unwrap().as_second();
    let sdk = Sdk {
        id: world.credentials.access_key_id.as_str(),
        secret: SECRET,
        authority: &authority,
        time: UNIX_EPOCH + Duration::from_secs(now.unsigned_abs()),
    };
    let (mut headers, mut links) = (0, 0);
    for number in 0..REQUESTS * scale() {
        let method = dice.pick(&["GET", "PUT", "HEAD", "DELETE"]);
        let presigned = dice.chance(40);
        let path = encode_path(format!("/photos/{}k", awkward(&mut dice, 7)).as_bytes());
        let mut pairs = Vec::new();
        if method != "PUT" && dice.chance(50) {
            pairs.push(("versionId".to_owned(), awkward(&mut dice, 3)));
        }
        if method == "GET" && dice.chance(50) {
            let value = awkward(&mut dice, 5);
            pairs.push(("response-content-disposition".to_owned(), value));
        }
        let query = encode_query(&pairs);
        let mark = if query.is_empty() { "" } else { "?" };
        let target = format!("{path}{mark}{query}");
        let mut sent = metadata(&mut dice);
        sent.push(("host".into(), authority.clone()));
        let body: &[u8] = if method == "PUT" { b"some data" } else { b"" };
        let payload = if presigned || dice.chance(30) {
            SignableBody::UnsignedPayload
        } else {
            SignableBody::Bytes(body)
        };
        let location = match presigned {
            true => SignatureLocation::QueryParams,
            false => SignatureLocation::Headers,
        };
        let region = dice.pick(&["auto", "us-east-1", "eu-central-2"]);
        let signed = sdk.sign(method, &target, &sent, payload, region, location);
        let mut request = Forged::new(&world, method, &path, &[]).body(body);
        request
            .query
            .extend((!query.is_empty()).then(|| query.clone()));
        request
            .headers
            .extend(sent.iter().filter(|(name, _)| name != "host").cloned());
        for (name, value) in signed.headers() {
            request = request.header(name, value);
        }
        for (name, value) in signed.params() {
            request
                .query
                .push(encode_query(&[((*name).to_owned(), value.to_string())]));
        }
        let at = || format!("seed {SEED:#x}, request {number}: {request:?}");
        let reply = line.ask(&request).await.expect("an answer");
        assert_eq!(reply.status, 200, "{} {}", reply.text(), at());
        let seen = world.provider.take();
        let [seen] = &seen[..] else {
            panic!("{} requests at the provider, {}", seen.len(), at());
        };
        assert_eq!(
            seen.uri,
            format!("http://provider.test:9000{target}"),
            "{}",
            at()
        );
        assert_eq!(
            (seen.method.as_str(), &seen.body[..]),
            (method, body),
            "{}",
            at()
        );
        if method == "PUT" {
            for (name, value) in sent.iter().filter(|(name, _)| name != "host") {
                assert_eq!(seen.header(name), Some(value.trim_matches(' ')), "{}", at());
            }
        }
        *(if presigned { &mut links } else { &mut headers }) += 1;
    }
    assert!(
        headers > REQUESTS / 2 && links > REQUESTS / 3,
        "{headers} {links}"
    );
}
