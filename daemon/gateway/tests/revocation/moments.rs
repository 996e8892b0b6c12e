//! Withdrawals at one moment of a request's life, between two of its steps.

use std::sync::Arc;

use bascule_domain::transition::Transition;

use crate::{
    harness::wait,
    provider::named,
    stage::{Stage, VAULT, Withdrawal},
};

/// Runs a withdrawal of the stage's key from inside the gateway.
fn withdraw(stage: &Stage, withdrawal: Withdrawal) -> Box<dyn FnOnce() + Send> {
    let keyring = Arc::clone(&stage.world.keyring);
    let key = stage.key.clone();
    Box::new(move || withdrawal.apply_to(&keyring, &key))
}

#[tokio::test]
async fn c5_a_withdrawal_between_lookup_and_signing_wins() {
    for withdrawal in Withdrawal::ALL {
        for (method, body) in [("GET", None), ("DELETE", None), ("PUT", Some("x"))] {
            // The clock is asked once before the key is looked up, once right before signing.
            for asked in [0, 1] {
                let stage = Stage::new().await;
                let mut ask = stage.ask(method, "a");
                if let Some(body) = body {
                    ask = ask.body(body);
                }
                let wire = ask.wire(&stage.world);
                *stage.world.clock.hook.lock().unwrap() =
                    Some((asked, withdraw(&stage, withdrawal)));
                let mut client = stage.dial().await;
                client.write(&wire).await;
                let reply = client.reply(false).await;
                let rejudged = asked == 0 && withdrawal == Withdrawal::Change;
                assert_eq!(
                    reply.is_some_and(|reply| reply.status < 300),
                    rejudged,
                    "{withdrawal:?} {method} {asked}"
                );
                assert!(stage.world.clock.hook.lock().unwrap().is_none());
                assert_eq!(stage.shelf.requests(), usize::from(rejudged));
                wait(|| stage.connection.open_requests() == 0).await;
            }
        }
    }
}

#[tokio::test]
async fn c5_a_withdrawal_between_the_head_and_the_body_wins() {
    for withdrawal in Withdrawal::ALL {
        let stage = Stage::new().await;
        *stage.shelf.on_arrival.lock().unwrap() = Some(withdraw(&stage, withdrawal));
        let mut client = stage.dial().await;
        let ask = stage.ask("PUT", "a").body(vec![b'x'; 100_000]);
        client.write(&ask.wire(&stage.world)).await;
        let reply = client.reply(false).await;
        assert!(reply.is_none_or(|reply| reply.status == 403));
        wait(|| stage.connection.open_requests() == 0).await;
        assert_eq!(stage.shelf.stored(), [""; 0], "{withdrawal:?}");
        assert_eq!(stage.shelf.received(), 0, "{withdrawal:?}");
    }
}

#[tokio::test]
async fn c5_a_pause_that_is_lifted_at_once_still_ends_what_was_sending() {
    let stage = Stage::new().await;
    let keyring = Arc::clone(&stage.world.keyring);
    *stage.shelf.on_arrival.lock().unwrap() = Some(Box::new(move || {
        keyring
            .pause(VAULT, bascule_gateway::PausedBy::User)
            .unwrap();
        keyring.resume(VAULT).unwrap();
    }));
    let mut client = stage.dial().await;
    client
        .write(&stage.ask("PUT", "a").body("whole").wire(&stage.world))
        .await;
    assert!(client.ends().await);
    wait(|| stage.connection.open_requests() == 0).await;
    assert_eq!(stage.shelf.stored(), [""; 0]);
}

#[tokio::test]
async fn c5_what_a_provider_answers_after_the_withdrawal_is_not_told() {
    for withdrawal in Withdrawal::ALL {
        for (method, object) in [("GET", "a"), ("GET", named::SPILL), ("HEAD", "a")] {
            let stage = Stage::new().await;
            *stage.shelf.on_arrival.lock().unwrap() = Some(withdraw(&stage, withdrawal));
            let mut client = stage.dial().await;
            client
                .write(&stage.ask(method, object).wire(&stage.world))
                .await;
            let reply = client.reply(method == "HEAD").await;
            assert!(
                reply.is_none_or(|reply| reply.status >= 400),
                "{withdrawal:?} {method} {object}"
            );
            wait(|| stage.connection.open_requests() == 0).await;
        }
    }
}

#[tokio::test]
async fn c4_a_presigned_link_dies_with_its_key() {
    let stage = Stage::new().await;
    let link = stage.presigned("a");
    let mut client = stage.dial().await;
    client.write(&link).await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    Withdrawal::Removal.apply(&stage);
    for _ in 0..2 {
        let mut client = stage.dial().await;
        client.write(&link).await;
        let reply = client.reply(false).await.unwrap();
        assert_eq!((reply.status, &*reply.code()), (403, "InvalidAccessKeyId"));
    }
    assert_eq!(stage.shelf.requests(), 1);
}

#[tokio::test]
async fn a_change_that_takes_nothing_away_lets_what_runs_go_on() {
    let stage = Stage::new().await;
    let mut client = stage.dial().await;
    let whole = stage
        .ask("PUT", "a")
        .body(vec![b'x'; 1000])
        .wire(&stage.world);
    let (head, tail) = whole.split_at(whole.len() - 500);
    client.write(head).await;
    wait(|| stage.shelf.received() > 0).await;
    let mut wide = stage.key.clone();
    wide.label = "renamed".parse().unwrap();
    wide.scope.addresses = vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()];
    let transition = Transition::new(&stage.key, wide);
    assert!(!transition.takes_away(&stage.key));
    stage.world.keyring.change_key(transition.then).unwrap();
    client.write(tail).await;
    assert_eq!(client.reply(false).await.unwrap().status, 200);
    assert_eq!(stage.shelf.stored(), ["a"]);
    // The token it ran under is still what ends it.
    let mut client = stage.dial().await;
    client.write(head).await;
    Withdrawal::Revocation.apply(&stage);
    assert!(client.reply(false).await.is_none_or(|r| r.status == 403));
    wait(|| stage.connection.open_requests() == 0).await;
}
