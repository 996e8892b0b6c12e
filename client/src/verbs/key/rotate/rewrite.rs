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
        carry::{Gets, Moved, Way, give, move_to},
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
    let old = old_key(&request.access_key_id, client).await?;
    if old.state() == v1::KeyState::Retiring {
        return go_on(request, old, changes, client, context).await;
    }
    let adoptions = record::all(client).await?;
    let seen = Seen::now(context, &[], &adoptions).await?;
    let Holders {
        chosen,
        mut left,
        told,
    } = Holders::of(&old, &seen, client).await?;
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

/// Whoever holds a key here.
struct Holders<'s> {
    /// Those whose files can be changed.
    chosen: Vec<&'s Consumer>,
    left: Vec<Left>,
    /// What would change and what would not, for people.
    told: String,
}

impl<'s> Holders<'s> {
    async fn of(key: &v1::Key, seen: &'s Seen, client: &Client) -> Result<Self, Error> {
        let access = placeholder(&gateway(client).await?);
        let (mut chosen, mut left) = (Vec::new(), Vec::new());
        let mut told = String::new();
        let holds = |consumer: &&Consumer| consumer.id().as_str() == key.access_key_id;
        for consumer in seen.consumers.iter().filter(holds) {
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
        Ok(Self { chosen, left, told })
    }
}

/// The key that is rotated: of two with one label the one that is to die.
async fn old_key(asked: &str, client: &Client) -> Result<v1::Key, Error> {
    let request = v1::ShowKeyRequest {
        key: asked.to_owned(),
    };
    match client.keys().show(request).await.map_err(Error::from) {
        Ok(answer) => Ok(answer.into_inner().key.unwrap_or_default()),
        Err(error) if error.kind == Kind::Invalid && asked.contains('/') => {
            let request = v1::ShowRotationRequest {
                access_key_id: asked.to_owned(),
            };
            // Whatever it is, it is not being rotated.
            let Ok(answer) = client.rotations().show(request).await else {
                return Err(error);
            };
            let rotation = answer.into_inner().rotation.unwrap_or_default();
            rotation.old.ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// Goes on with a rotation that is under way: whoever holds the old key still gets the one that took its place.
async fn go_on(
    request: v1::RotateRequest,
    old: v1::Key,
    changes: &Changes,
    client: &Client,
    context: &Context,
) -> Result<Exit, Error> {
    let adoptions = record::all(client).await?;
    let seen = Seen::now(context, &[], &adoptions).await?;
    let Holders {
        chosen,
        mut left,
        told,
    } = Holders::of(&old, &seen, client).await?;
    if !context.output.is_json() {
        context.output.stderr(&told);
    }
    if !chosen.is_empty() {
        consent::to_changes(changes.yes, context.output).await?;
    }
    let way = Way {
        client,
        seen: &seen,
        restarts: changes.restarts,
        reason: &request.reason,
    };
    let mut moved = Vec::new();
    for consumer in chosen {
        let former = record::current(&adoptions, &seen, consumer, &old.connection, &old.label);
        match move_to(Gets::Successor, consumer, former, &way).await {
            Ok(one) => {
                tell_moved(&one, seen.home.as_deref(), context);
                moved.push(one);
            }
            Err(failure) => left.push(not_moved(consumer, failure, context.output)),
        }
    }
    let silent_is_given = request.until_silent.is_some() || request.now;
    let request = v1::RotateRequest {
        access_key_id: old.access_key_id.clone(),
        ..request
    };
    let reason = request.reason.clone();
    let mut response = client.rotations().rotate(request).await?.into_inner();
    let all_moved = left.is_empty();
    if all_moved && !silent_is_given {
        let rotation = response.rotation.take();
        response.rotation =
            Some(end_when_silent(&old.access_key_id, rotation, client, &reason).await?);
    }
    let more = More { moved, left };
    show(&Done::from(response), changes.format, &more, context)?;
    if all_moved {
        return Ok(Exit::Ok);
    }
    context.output.status(&format!(
        "{} what is left, once it can be changed: bascule repair --all",
        styled(NEXT, "next:")
    ));
    Ok(Exit::StepsRemain)
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
