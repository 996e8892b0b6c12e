//! `key rotate --rewrite`: the new key goes into the files that hold the old one, and the old one dies as
//! soon as nobody has used it for as long as its users are known to pause.

use bascule_formats::Format;
use bascule_proto::v1;
use bascule_watch::adopt::{Consumer, Goal};
use prost_types::Duration as WireDuration;
use serde::Serialize;

use super::{Done, Nothing, handed_out, show};
use crate::{
    channel::Client,
    error::{Error, Kind},
    exit::Exit,
    moving::{
        Left, Seen,
        carry::{Moved, Way, give},
        issue::{Issued, gateway, placeholder},
        not_moved, plan_for, preview,
        record::{self, Turn},
    },
    output::text::{GOOD, NEXT, count, escape, styled},
    verbs::{Context, consent, tell_moved},
};

/// How the files are changed.
pub(super) struct Changes {
    pub(super) yes: bool,
    pub(super) restarts: bool,
    /// In which form the new key is shown, for tools elsewhere.
    pub(super) format: Option<Format>,
}

/// What is told beside the rotation.
#[derive(Serialize)]
struct More {
    moved: Vec<Moved>,
    left: Vec<Left>,
}

/// Rotates one key, and moves whoever holds it here.
pub(super) async fn run(
    request: v1::RotateRequest,
    changes: &Changes,
    client: &Client,
    context: &Context,
) -> Result<Exit, Error> {
    let _turn = Turn::begin(client, context.output).await?;
    let show_request = v1::ShowKeyRequest {
        key: request.access_key_id.clone(),
    };
    let old = client.keys().show(show_request).await?.into_inner();
    let old = old.key.unwrap_or_default();
    let adoptions = record::all(client).await?;
    let seen = Seen::now(context, &[], &adoptions).await?;
    let holds = |consumer: &&Consumer| consumer.id().as_str() == old.access_key_id;
    let holders: Vec<_> = seen.consumers.iter().filter(holds).collect();
    let access = placeholder(&gateway(client).await?);
    let (mut chosen, mut left) = (Vec::new(), Vec::new());
    let mut told = String::new();
    for consumer in holders {
        match plan_for(consumer, Goal::Gateway(&access)) {
            Ok(plan) => {
                let home = seen.home.as_deref();
                told.push_str(&preview::consumer(consumer, "the new key", &plan, home));
                chosen.push(consumer);
            }
            Err(why) => left.push(Left::of(consumer, why)),
        }
    }
    told.push_str(&preview::left(&left));
    if chosen.is_empty() {
        let message = "no file of this machine that could be changed holds that key";
        return Err(Error::new(Kind::Refused, message)
            .next("rotate without --rewrite, and paste the new key where it is used"));
    }
    if !context.output.is_json() {
        context.output.stderr(&told);
    }
    consent::to_changes(changes.yes, context.output).await?;

    let reason = request.reason.clone();
    let silent_is_given = request.until_silent.is_some() || request.now;
    let response = client.rotations().rotate(request).await?.into_inner();
    let Some(answer) = response.issued.clone() else {
        // Its secret was shown when it was made, and is shown only once.
        show(&Done::from(response), None, &Nothing {}, context)?;
        return Err(Error::new(
            Kind::Refused,
            "there was a new key already, so nothing was rewritten",
        )
        .next(format!(
            "let the tools of this machine have it: bascule repair {}",
            old.access_key_id
        )));
    };
    let issued = Issued::of(answer)?;
    let way = Way {
        client,
        seen: &seen,
        restarts: changes.restarts,
        reason: &reason,
    };
    let mut moved = Vec::new();
    for consumer in chosen {
        let former = record::current(&adoptions, &seen, consumer, &old.connection, &old.label);
        match give(consumer, &issued, former, false, &way).await {
            Ok(one) => {
                tell_moved(&one, seen.home.as_deref(), context);
                moved.push(one);
            }
            Err(failure) => {
                left.push(not_moved(consumer, failure, context.output));
            }
        }
    }
    if !left.is_empty() {
        // Whoever was not moved needs the secret.
        let more = More { moved, left };
        show(&Done::from(response), changes.format, &more, context)?;
        return Ok(Exit::StepsRemain);
    }
    let mut rotation = match silent_is_given {
        true => response.rotation.unwrap_or_default(),
        false => end_when_silent(&old.access_key_id, response.rotation, client, &reason).await?,
    };
    let number = moved.len() as u64;
    let told = changes.format.is_some();
    if !told {
        rotation.next.insert(
            0,
            format!(
                "the new key's secret was not shown; if a tool elsewhere needs it: bascule key rotate {} --now --rewrite --format FORMAT",
                issued.key.access_key_id
            ),
        );
    }
    let done = Done {
        rotation,
        issued: response
            .issued
            .filter(|_| told)
            .map(handed_out::Issued::from),
        in_doubt: response.in_doubt,
    };
    let more = More { moved, left };
    if context.output.is_json() || told {
        show(&done, changes.format, &more, context)?;
        return Ok(Exit::Ok);
    }
    context.output.status(&styled(
        GOOD,
        &format!("{} moved to the new key", count(number, "tool")),
    ));
    done.outlook(context);
    if let Some(next) = done.rotation.next.first() {
        let line = format!("{} {}", styled(NEXT, "next:"), escape(next));
        context.output.status(&line);
    }
    Ok(Exit::Ok)
}

/// The grace is twice the longest pause between uses; everybody has moved when half of it is silent.
async fn end_when_silent(
    old: &str,
    rotation: Option<v1::Rotation>,
    client: &Client,
    reason: &str,
) -> Result<v1::Rotation, Error> {
    let rotation = rotation.unwrap_or_default();
    let Some(grace) = rotation.grace else {
        return Ok(rotation);
    };
    let request = v1::RotateRequest {
        access_key_id: old.to_owned(),
        until_silent: Some(WireDuration {
            seconds: grace.seconds / 2,
            nanos: 0,
        }),
        reason: reason.to_owned(),
        ..v1::RotateRequest::default()
    };
    let answer = client.rotations().rotate(request).await?.into_inner();
    Ok(answer.rotation.unwrap_or(rotation))
}
