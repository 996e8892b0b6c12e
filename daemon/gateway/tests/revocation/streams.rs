//! Streams in both directions and in every form, flowing and stalled: a withdrawal ends them on
//! both sides by itself, while neither the client nor the provider moves.

use std::time::Duration;

use bascule_domain::operation::Action;
use bascule_sigv4::Payload;
use tokio::io::AsyncWriteExt;

use crate::{
    harness::{Ask, Chunker, Client, crc32, load, sha256},
    provider::{SPILL, named},
    stage::{Stage, VAULT, Withdrawal, stalled},
};

/// Withdraws the rights in each way from a request that was brought to a standstill, and checks
/// that both sides are rid of it before the client moves.
async fn ended_by_itself(start: impl AsyncFn(&Stage) -> Client) {
    for withdrawal in Withdrawal::ALL {
        let stage = Stage::new().await;
        let mut client = start(&stage).await;
        withdrawal.apply(&stage);
        stage.nothing_is_left().await;
        assert!(client.ends().await);
        assert_eq!(stage.shelf.stored(), [""; 0], "{withdrawal:?}");
        assert_eq!(
            stage.world.keyring.in_doubt_of(VAULT, stage.key.id),
            [],
            "{withdrawal:?}"
        );
    }
}

async fn begun(stage: &Stage, ask: &Ask) -> Client {
    let mut client = stage.dial().await;
    client.write(&ask.wire(&stage.world)).await;
    client
}

#[tokio::test]
async fn c3_a_download_whose_provider_falls_silent_is_cut() {
    ended_by_itself(async |stage| {
        let mut client = begun(stage, &stage.ask("GET", named::DRIP)).await;
        assert_eq!(client.reply_head().await.unwrap().status, 200);
        client.take("<Error>".len()).await.unwrap();
        client
    })
    .await;
}

#[tokio::test]
async fn c3_a_download_whose_client_does_not_read_is_cut() {
    ended_by_itself(async |stage| {
        let client = begun(stage, &stage.ask("GET", named::FLOOD)).await;
        stalled(|| stage.shelf.sent()).await;
        client
    })
    .await;
}

#[tokio::test]
async fn c3_a_download_that_flows_is_cut() {
    for withdrawal in Withdrawal::ALL {
        let stage = Stage::new().await;
        let mut client = begun(&stage, &stage.ask("GET", named::FLOOD)).await;
        client.take(1 << 20).await.unwrap();
        let reading = tokio::spawn(async move {
            let mut taken = 0_u64;
            while let Some(piece) = client.take(1 << 16).await {
                taken += piece.len() as u64;
            }
            taken
        });
        withdrawal.apply(&stage);
        reading.await.unwrap();
        stage.nothing_is_left().await;
    }
}

#[tokio::test]
async fn c3_a_request_whose_provider_does_not_answer_is_cut() {
    for method in ["GET", "HEAD"] {
        ended_by_itself(async |stage| {
            let client = begun(stage, &stage.ask(method, named::BLIND)).await;
            stalled(|| stage.shelf.requests()).await;
            client
        })
        .await;
    }
}

#[tokio::test]
async fn c3_an_error_that_the_provider_does_not_finish_is_cut() {
    ended_by_itself(async |stage| {
        let client = begun(stage, &stage.ask("GET", named::ERROR)).await;
        stalled(|| stage.shelf.requests()).await;
        client
    })
    .await;
}

const CHECKSUM: &str = "x-amz-checksum-crc32";

/// The same upload in every form of a body, without its last `missing` bytes.
fn uploads(stage: &Stage, object: &str, missing: Missing) -> Vec<(&'static str, Ask)> {
    let data = vec![b'd'; 200_000];
    let put = || stage.ask("PUT", object);
    let framed = |payload| {
        put()
            .payload(payload)
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", &data.len().to_string())
    };
    let trailing = |payload| framed(payload).header("x-amz-trailer", CHECKSUM);
    let in_chunks = |ask: &Ask| {
        let chunker = data
            .chunks(10_000)
            .fold(Chunker::new(&stage.world, ask), Chunker::chunk);
        chunker.chunk(b"")
    };
    let literal = Payload::Literal(sha256(&data));
    let signed = framed(Payload::SignedChunks);
    let signed_body = in_chunks(&signed).end();
    let signed_trailer = trailing(Payload::SignedChunksTrailer);
    let signed_trailer_body = in_chunks(&signed_trailer).trailer(CHECKSUM, &crc32(&data));
    let mut unsigned_body = Vec::new();
    for chunk in data.chunks(10_000) {
        unsigned_body.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        unsigned_body.extend_from_slice(chunk);
        unsigned_body.extend_from_slice(b"\r\n");
    }
    let mut without_length = put().body(unsigned_body.clone());
    without_length.headers.remove("content-length");
    let mut without_length = without_length.unsigned("transfer-encoding", "chunked");
    without_length.body.extend_from_slice(b"0\r\n\r\n");
    unsigned_body.extend_from_slice(format!("0\r\n{CHECKSUM}:{}\r\n\r\n", crc32(&data)).as_bytes());
    let mut all = vec![
        ("literal", put().body(data.clone()).payload(literal)),
        ("unsigned", put().body(data.clone())),
        ("without a length", without_length),
        ("signed chunks", load(signed, signed_body)),
        ("signed trailer", load(signed_trailer, signed_trailer_body)),
        (
            "unsigned trailer",
            load(trailing(Payload::UnsignedTrailer), unsigned_body),
        ),
    ];
    for (_, ask) in &mut all {
        let length = ask.body.len();
        ask.body.truncate(match missing {
            Missing::Nothing => length,
            Missing::LastByte => length - 1,
            Missing::Half => length / 2,
        });
    }
    all
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Missing {
    Nothing,
    LastByte,
    Half,
}

/// As many as `uploads` makes.
const FORMS: usize = 6;

#[tokio::test]
async fn c3_an_upload_whose_client_falls_silent_is_cut_and_leaves_no_object() {
    for missing in [Missing::Half, Missing::LastByte] {
        for form in 0..FORMS {
            ended_by_itself(async |stage| {
                let (_, ask) = uploads(stage, "new", missing).swap_remove(form);
                let client = begun(stage, &ask).await;
                stalled(|| stage.shelf.received()).await;
                client
            })
            .await;
        }
    }
}

#[tokio::test]
async fn c3_an_upload_whose_provider_does_not_read_is_cut_and_leaves_no_object() {
    for object in [named::DEAF, named::BLIND] {
        for form in 0..FORMS {
            ended_by_itself(async |stage| {
                let (_, ask) = uploads(stage, object, Missing::Nothing).swap_remove(form);
                let client = begun(stage, &ask).await;
                stalled(|| stage.shelf.requests()).await;
                client
            })
            .await;
        }
    }
}

#[tokio::test]
async fn c3_an_upload_that_fills_every_buffer_on_the_way_is_cut() {
    ended_by_itself(async |stage| {
        let ask = stage
            .ask("PUT", named::DEAF)
            .body("")
            .announce(usize::MAX >> 1);
        let mut client = begun(stage, &ask).await;
        let piece = vec![0; 1 << 20];
        // Until nothing moves any more.
        while tokio::time::timeout(Duration::from_millis(300), client.stream.write_all(&piece))
            .await
            .is_ok()
        {}
        client
    })
    .await;
}

#[tokio::test]
async fn r53_an_upload_cut_after_its_last_frame_is_in_doubt_by_bucket_and_key() {
    for withdrawal in Withdrawal::ALL {
        for form in 0..FORMS {
            let stage = Stage::new().await;
            let (name, ask) = uploads(&stage, named::MUTE, Missing::Nothing).swap_remove(form);
            let mut client = begun(&stage, &ask).await;
            crate::harness::wait(|| !stage.shelf.stored().is_empty()).await;
            let keyring = &stage.world.keyring;
            let in_doubt = || keyring.in_doubt_of(VAULT, stage.key.id);
            withdrawal.apply(&stage);
            if withdrawal != Withdrawal::Removal {
                let [doubt] = &in_doubt()[..] else {
                    panic!("{withdrawal:?}, {name}: {:?}", in_doubt())
                };
                assert_eq!(doubt.bucket.as_str(), "vault");
                assert_eq!(doubt.key.as_ref().unwrap().as_str(), named::MUTE);
                assert_eq!(doubt.action, Action::PutObject);
            }
            assert!(client.ends().await, "{withdrawal:?}, {name}");
            assert_eq!(
                stage.connection.open_requests(),
                1,
                "its outcome is awaited"
            );
        }
    }
}

#[tokio::test]
async fn c3_a_client_that_waits_to_be_told_to_go_on_is_cut() {
    // The provider takes nothing of the body, so the client is never asked for it.
    ended_by_itself(async |stage| {
        let ask = stage
            .ask("PUT", named::BLIND)
            .body("")
            .announce(10)
            .unsigned("expect", "100-continue");
        let client = begun(stage, &ask).await;
        stalled(|| stage.shelf.requests()).await;
        client
    })
    .await;
    // It was asked, and sends nothing.
    ended_by_itself(async |stage| {
        let ask = stage
            .ask("PUT", "new")
            .body("")
            .announce(10)
            .unsigned("expect", "100-continue");
        let mut client = begun(stage, &ask).await;
        assert_eq!(client.reply_head().await.unwrap().status, 100);
        client
    })
    .await;
}

#[tokio::test]
async fn c3_bodies_that_are_read_whole_first_are_cut_while_they_arrive() {
    // Nothing reaches the provider before such a body is whole, so the open request is all there
    // is to wait for.
    let arriving = async |stage: &Stage, ask: &Ask| {
        let client = begun(stage, ask).await;
        stalled(|| stage.connection.open_requests()).await;
        assert_eq!(stage.shelf.requests(), 0);
        client
    };
    let half = "<Delete><Object><Key>a</Key></Obj";
    ended_by_itself(async |stage| {
        let ask = stage
            .world
            .ask("POST", "/vault")
            .query("delete", "")
            .body(half)
            .announce(1000);
        arriving(stage, &ask).await
    })
    .await;
    ended_by_itself(async |stage| {
        let ask = stage
            .ask("PUT", "empty")
            .payload(Payload::SignedChunks)
            .header("content-encoding", "aws-chunked")
            .header("x-amz-decoded-content-length", "0");
        let mut body = Chunker::new(&stage.world, &ask).chunk(b"").end();
        let length = body.len();
        body.truncate(length - 1);
        let ask = load(ask, body);
        let ask = Ask {
            unsigned: vec![("content-length", length.to_string())],
            ..ask
        };
        arriving(stage, &ask).await
    })
    .await;
}

#[tokio::test]
async fn c3_an_answer_that_waits_in_the_gateways_own_socket_is_not_delivered() {
    for withdrawal in Withdrawal::ALL {
        let stage = Stage::new().await;
        let mut client = begun(&stage, &stage.ask("GET", named::SPILL)).await;
        // The provider is done with it, and so is the gateway but for what the client has not
        // taken.
        crate::harness::wait(|| stage.shelf.requests() == 1).await;
        crate::harness::wait(|| stage.connection.open_requests() == 0).await;
        withdrawal.apply(&stage);
        stage.nothing_is_left().await;
        assert_eq!(client.reply_head().await.unwrap().status, 200);
        assert_eq!(client.take(SPILL).await, None, "{withdrawal:?}");
    }
}

#[tokio::test]
async fn c2_an_idle_connection_is_kept_and_its_next_request_refused() {
    for withdrawal in Withdrawal::ALL {
        let stage = Stage::new().await;
        let ask = stage.ask("GET", "a");
        let mut client = begun(&stage, &ask).await;
        assert_eq!(client.reply(false).await.unwrap().status, 200);
        crate::harness::wait(|| stage.connection.open_requests() == 0).await;
        withdrawal.apply(&stage);
        client.write(&ask.wire(&stage.world)).await;
        let expected = match withdrawal {
            Withdrawal::Revocation | Withdrawal::Removal => (403, "InvalidAccessKeyId"),
            Withdrawal::Pause | Withdrawal::KeyPause | Withdrawal::Narrowing => {
                (403, "AccessDenied")
            }
            // New rights, the same key: the next request is judged by them.
            Withdrawal::Change => (200, ""),
        };
        let reply = client.reply(false).await.unwrap();
        assert_eq!((reply.status, &*reply.code()), expected, "{withdrawal:?}");
        let admitted = usize::from(withdrawal == Withdrawal::Change);
        assert_eq!(stage.shelf.requests(), 1 + admitted);
    }
}

#[tokio::test]
async fn c2_a_head_that_was_half_sent_is_refused_when_it_is_whole() {
    let stage = Stage::new().await;
    let wire = stage.ask("GET", "a").wire(&stage.world);
    let mut client = stage.dial().await;
    client.write(&wire[..wire.len() / 2]).await;
    Withdrawal::Revocation.apply(&stage);
    client.write(&wire[wire.len() / 2..]).await;
    assert_eq!(
        client.reply(false).await.unwrap().code(),
        "InvalidAccessKeyId"
    );
    assert_eq!(stage.shelf.requests(), 0);
}
