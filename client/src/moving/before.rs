//! The key that a tool had before it was adopted, and whether that is the one that goes back: a tool never leaves
//! with more than it came with, unless its user says so.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use bascule_adapters::{Checker, Health, Server};
use bascule_domain::{access_key::AccessKeyId, secret::Credentials};
use bascule_proto::v1;
use bascule_watch::adopt::{Access, Consumer, Goal, Layout, ServerSettings, held_before};
use zeroize::Zeroizing;

use super::{
    adopted::{Adoption, Known, Standing},
    encrypted, files, issue, record, way_back,
};
use crate::{channel::Client, clock, error::Error, error::Kind};

/// Which key of its provider's a tool gets.
pub(crate) enum GoesBack {
    /// The connection's own: the one that it had, or the one that took its place.
    Connections,
    /// The one that it had, which is another one.
    Former(Credentials),
    /// It had another one, which works no more or is not known any more; why, for people.
    Neither(String),
}

/// Decides for a tool that holds a key of a connection. `former` is its adoption with the originals of that, as
/// far as they are kept, if it was adopted.
pub(crate) async fn goes_back(
    consumer: &Consumer,
    former: Option<(&Adoption, &BTreeMap<PathBuf, Zeroizing<String>>)>,
    adoptions: &[Adoption],
    connection: &v1::Connection,
    client: &Client,
) -> Result<GoesBack, Error> {
    let Some((former, its_originals)) = former else {
        return Ok(GoesBack::Connections);
    };
    let is_foreign = former.kept()?.is_foreign;
    let forgotten = || match is_foreign {
        true => GoesBack::Neither("which key it had at its provider is not known any more".into()),
        false => GoesBack::Connections,
    };
    let Ok(links) = way_back::links(former, adoptions) else {
        return Ok(forgotten());
    };
    let Some(first) = links.last() else {
        return Ok(forgotten());
    };
    if first.connection_id != connection.id {
        // Its user has chosen this one since.
        return Ok(GoesBack::Connections);
    }
    let of_first;
    let originals = if first.id == former.id {
        its_originals
    } else {
        of_first = match record::originals(client, &first.id).await {
            Ok(originals) => originals,
            Err(error) if error.kind == Kind::Refused => return Ok(forgotten()),
            Err(error) => return Err(error),
        };
        &of_first
    };
    let Some(had) = had(consumer, originals, connection) else {
        return Ok(forgotten());
    };
    let id = &had.access_key_id;
    if AccessKeyId::looks_issued(id.as_str()) {
        return Ok(GoesBack::Connections);
    }
    let known = judge(client, id).await?;
    let is_its_own = known.own_key_of.contains(&connection.id)
        || known.standing == Standing::Leaked && known.connection_id == connection.id;
    let is_replaced = way_back::outdated(&links, std::slice::from_ref(connection)).is_some();
    if is_its_own || !is_foreign && is_replaced {
        return Ok(GoesBack::Connections);
    }
    let shown = id.masked();
    if matches!(known.standing, Standing::MarkedDead | Standing::Leaked) {
        let why = format!("the key that it had at its provider, {shown}, is reported as dead");
        return Ok(GoesBack::Neither(why));
    }
    Ok(match refused(&had, connection).await {
        Some(why) => GoesBack::Neither(format!("the key that it had, {shown}: {why}")),
        None => GoesBack::Former(had),
    })
}

/// The pair that stood in a tool's files.
pub(crate) fn had(
    consumer: &Consumer,
    originals: &BTreeMap<PathBuf, Zeroizing<String>>,
    connection: &v1::Connection,
) -> Option<Credentials> {
    let opened = originals.iter().filter_map(|(path, text)| {
        let text = match encrypted::opened(text) {
            Some(opened) => opened.ok()?,
            None => text.clone(),
        };
        Some((path.clone(), text))
    });
    let opened = opened.collect();
    let goal = Goal::Provider {
        access: &issue::placeholder(&connection.endpoint.parse().ok()?),
        settings: &ServerSettings::default(),
        layout: &Layout::default(),
        originals: &opened,
    };
    held_before(consumer, goal, files::text)
}

/// As a plan takes it.
pub(crate) fn access(credentials: &Credentials, connection: &v1::Connection) -> Option<Access> {
    Some(Access {
        id: credentials.access_key_id.to_string(),
        secret: Zeroizing::new(credentials.secret.expose().to_owned()),
        endpoint: connection.endpoint.parse().ok()?,
    })
}

async fn judge(client: &Client, id: &AccessKeyId) -> Result<Known, Error> {
    let request = v1::JudgeRequest {
        access_key_ids: vec![id.to_string()],
    };
    let answer = client.findings().judge(request).await?.into_inner();
    let judgement = answer.judgements.into_iter().next();
    Ok(judgement.unwrap_or_default().into())
}

/// Why the provider does not take a key any more, if it says so.
async fn refused(credentials: &Credentials, connection: &v1::Connection) -> Option<String> {
    let endpoint = connection.endpoint.parse().ok()?;
    let server = Server::of(Some(&endpoint), None, &credentials.access_key_id)?;
    let checker = Checker::new(Arc::new(clock::now));
    match checker.check(&server, credentials, None).await {
        Health::Dead => Some(format!("{endpoint} does not know it any more")),
        Health::WrongSecret => Some(format!("{endpoint} knows it with another secret by now")),
        _ => None,
    }
}
