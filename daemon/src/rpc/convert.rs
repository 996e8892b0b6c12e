//! Between wire types and values, both ways. Parsing happens here once; what comes out is valid.

use std::num::NonZeroU32;

use bascule_adapters::Probe;
use bascule_domain::{
    SignedDuration, Timestamp,
    adoption::Rights,
    connection::{BucketIdentity, Location},
    deletion::{Deletion, Phase},
    endpoint::Addressing,
    key::{KeyState, Permission},
    limits::Bandwidth,
    provider::ProviderKind,
    secret::{Credentials, SecretKey},
    survey::Round,
    tombstone::{CauseOfDeath, Tombstone},
};
use bascule_gateway::ConditionalWrites;
use bascule_proto::v1;
use bascule_store::Sweep;
use prost_types::{Duration as WireDuration, Timestamp as WireTime};

use crate::app::{
    KeyView, LimitWish, SurveyProgress, SweepView, View,
    error::{Error, Kind, Result},
};

pub(super) fn length(length: SignedDuration) -> WireDuration {
    WireDuration {
        seconds: length.as_secs(),
        nanos: length.subsec_nanos(),
    }
}

pub(super) fn given_length(wire: Option<WireDuration>) -> Result<Option<SignedDuration>> {
    let Some(wire) = wire else { return Ok(None) };
    let fits = wire.nanos.unsigned_abs() < 1_000_000_000
        && wire.seconds.unsigned_abs() < u64::from(u32::MAX);
    if !fits {
        return Err(Error::new(Kind::Invalid, "this is no duration"));
    }
    Ok(Some(SignedDuration::new(wire.seconds, wire.nanos)))
}

pub(super) fn parse<T>(what: &str, text: &str) -> Result<T>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| Error::invalid(what, error))
}

/// `None` for an empty text, which is how the wire says "not given".
pub(super) fn parse_given<T>(what: &str, text: &str) -> Result<Option<T>>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    if text.is_empty() {
        Ok(None)
    } else {
        parse(what, text).map(Some)
    }
}

pub(super) fn credentials(wire: Option<v1::Credentials>) -> Result<Option<Credentials>> {
    let Some(wire) = wire else { return Ok(None) };
    let secret = zeroize::Zeroizing::new(wire.secret_access_key);
    Ok(Some(Credentials {
        access_key_id: parse("access key id", &wire.access_key_id)?,
        secret: SecretKey::parse(&secret)
            .map_err(|error| Error::invalid("secret access key", error))?,
    }))
}

pub(super) fn provider(wire: i32) -> Result<ProviderKind> {
    Ok(match v1::Provider::try_from(wire) {
        Ok(v1::Provider::Minio) => ProviderKind::Minio,
        Ok(v1::Provider::S3) => ProviderKind::S3,
        Ok(v1::Provider::R2) => ProviderKind::R2,
        Ok(v1::Provider::S3Compatible) => ProviderKind::S3Compatible,
        Ok(v1::Provider::Local) => ProviderKind::Local,
        Ok(v1::Provider::Unspecified) | Err(_) => {
            return Err(Error::new(Kind::Invalid, "no known provider is named"));
        }
    })
}

pub(super) const fn provider_told(provider: ProviderKind) -> v1::Provider {
    match provider {
        ProviderKind::S3 => v1::Provider::S3,
        ProviderKind::R2 => v1::Provider::R2,
        ProviderKind::Minio => v1::Provider::Minio,
        ProviderKind::S3Compatible => v1::Provider::S3Compatible,
        ProviderKind::Local => v1::Provider::Local,
    }
}

pub(super) fn permission(wire: i32) -> Result<Permission> {
    Ok(match v1::Permission::try_from(wire) {
        Ok(v1::Permission::Read) => Permission::Read,
        Ok(v1::Permission::Append) => Permission::Append,
        Ok(v1::Permission::Write) => Permission::Write,
        Ok(v1::Permission::ReadWrite) => Permission::ReadWrite,
        Ok(v1::Permission::ReadWriteNoDelete) => Permission::ReadWriteNoDelete,
        Ok(v1::Permission::Unspecified) | Err(_) => {
            return Err(Error::new(Kind::Invalid, "no known permission is named"));
        }
    })
}

/// Absent is unchanged, 0 is no limit.
pub(super) fn limits(wire: &v1::LimitRequest) -> Result<LimitWish> {
    let bandwidth = |bytes| match bytes {
        0 => Ok(None),
        bytes => Bandwidth::try_from(bytes)
            .map(Some)
            .map_err(|error| Error::invalid("bandwidth", error)),
    };
    Ok(LimitWish {
        requests: wire.requests.map(NonZeroU32::new),
        bandwidth: wire.bandwidth.map(bandwidth).transpose()?,
    })
}

pub(super) fn time(time: Timestamp) -> WireTime {
    WireTime {
        seconds: time.as_second(),
        nanos: time.subsec_nanosecond(),
    }
}

pub(super) fn time_given(wire: Option<WireTime>) -> Result<Option<Timestamp>> {
    wire.map(|wire| {
        Timestamp::new(wire.seconds, wire.nanos).map_err(|error| Error::invalid("time", error))
    })
    .transpose()
}

pub(super) fn connection(view: &View) -> v1::Connection {
    let connection = &view.connection;
    let (endpoint, region, path) = match &connection.location {
        Location::Server {
            endpoint, region, ..
        } => (endpoint.to_string(), region.to_string(), String::new()),
        Location::Folder { path } => (String::new(), String::new(), path.display().to_string()),
    };
    let addressing = match &connection.location {
        Location::Server { addressing, .. } => self::addressing(*addressing).to_owned(),
        Location::Folder { .. } => String::new(),
    };
    v1::Connection {
        id: connection.id.to_string(),
        name: connection.name.to_string(),
        provider: provider_told(connection.provider).into(),
        buckets: connection.buckets.iter().map(ToString::to_string).collect(),
        endpoint,
        region,
        addressing,
        path,
        brought_key: if connection.provider == ProviderKind::Local {
            String::new()
        } else {
            view.brought_key.clone()
        },
        created_at: Some(time(connection.created_at)),
        credentials_generation: connection.credentials_generation,
        credentials_changed_at: Some(time(connection.credentials_changed_at)),
        living_keys: view.living_keys as u32,
        deletion_id: view.deletion.map(|id| id.to_string()).unwrap_or_default(),
        flagged: view.trouble.clone().unwrap_or_default(),
        paused_at: connection.paused_at.map(time),
        limits: (!connection.limits.is_none()).then(|| v1::Limits {
            requests: connection.limits.requests.map_or(0, NonZeroU32::get),
            bandwidth: connection.limits.bandwidth.map_or(0, Bandwidth::bytes),
        }),
    }
}

/// The word for a way of addressing.
pub(super) const fn addressing(addressing: Addressing) -> &'static str {
    match addressing {
        Addressing::Path => "path",
        Addressing::VirtualHost => "virtual-host",
    }
}

pub(super) fn key(view: &KeyView) -> v1::Key {
    let key = &view.key;
    v1::Key {
        access_key_id: key.access_key_id.to_string(),
        connection: view.connection.clone(),
        label: key.label.to_string(),
        permission: permission_told(key.permission).into(),
        state: match key.state {
            _ if view.expired => v1::KeyState::Expired,
            KeyState::Active => v1::KeyState::Active,
            KeyState::Paused => v1::KeyState::Paused,
            KeyState::Retiring => v1::KeyState::Retiring,
        }
        .into(),
        issued_at: Some(time(key.issued_at)),
        expires_at: key.expires_at.map(time),
        buckets: texts(&key.scope.buckets),
        last_used_at: view.last_used.map(time),
        died_at: None,
        cause: String::new(),
        id: key.id.to_string(),
        prefixes: texts(&key.scope.prefixes),
        addresses: texts(&key.scope.addresses),
        generation: key.generation,
        predecessor: key
            .predecessor
            .map_or_else(String::new, |key| key.to_string()),
        conditional_writes: match view.conditional_writes {
            None => v1::ConditionalWrites::Unspecified,
            Some(ConditionalWrites::NotKnown) => v1::ConditionalWrites::NotKnown,
            Some(ConditionalWrites::Honoured) => v1::ConditionalWrites::Proven,
            Some(ConditionalWrites::NotHonoured) => v1::ConditionalWrites::Absent,
        }
        .into(),
    }
}

const fn permission_told(permission: Permission) -> v1::Permission {
    match permission {
        Permission::Read => v1::Permission::Read,
        Permission::Append => v1::Permission::Append,
        Permission::Write => v1::Permission::Write,
        Permission::ReadWrite => v1::Permission::ReadWrite,
        Permission::ReadWriteNoDelete => v1::Permission::ReadWriteNoDelete,
    }
}

pub(super) fn rights(rights: &Rights) -> v1::KeyRights {
    v1::KeyRights {
        permission: permission_told(rights.permission).into(),
        buckets: texts(&rights.scope.buckets),
        prefixes: texts(&rights.scope.prefixes),
        addresses: texts(&rights.scope.addresses),
        expires_at: rights.expires_at.map(time),
    }
}

fn texts(values: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    values.into_iter().map(|value| value.to_string()).collect()
}

pub(super) fn dead_key(tombstone: &Tombstone) -> v1::Key {
    v1::Key {
        access_key_id: tombstone.masked.clone(),
        id: tombstone.key.to_string(),
        connection: tombstone.connection_name.to_string(),
        label: tombstone.label.to_string(),
        state: v1::KeyState::Dead.into(),
        died_at: Some(time(tombstone.died_at)),
        cause: match tombstone.cause {
            CauseOfDeath::Revoked => "revoked".to_owned(),
            CauseOfDeath::Rotated { ending, .. } => format!("rotated: {}", ending.as_str()),
            CauseOfDeath::CalledOff { .. } => "rotation called off".to_owned(),
            CauseOfDeath::ConnectionDeleted { deletion } => {
                format!("connection deleted ({deletion})")
            }
        },
        ..v1::Key::default()
    }
}

pub(super) fn probe(probe: &Probe) -> v1::Probe {
    let buckets = probe.buckets.iter().map(|bucket| v1::BucketProbe {
        bucket: bucket.bucket.to_string(),
        identity: match &bucket.identity {
            BucketIdentity::CreationDate(date) => format!("creation date {date}"),
            BucketIdentity::Native(id) => id.clone(),
            BucketIdentity::NotTold => "not told".to_owned(),
        },
        rights: bucket
            .rights
            .iter()
            .map(|right| right.as_str().to_owned())
            .collect(),
        not_checked: bucket.not_checked.clone(),
    });
    v1::Probe {
        buckets: buckets.collect(),
    }
}

pub(super) const fn phase(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Listening => v1::Phase::Listening,
        Phase::Requested => v1::Phase::Requested,
        Phase::Drained => v1::Phase::Drained,
        Phase::Surveyed => v1::Phase::Surveyed,
        Phase::Revoked => v1::Phase::Revoked,
        Phase::Judged => v1::Phase::Judged,
        Phase::Finished => v1::Phase::Finished,
        Phase::Cancelled => v1::Phase::Cancelled,
    }
}

pub(super) fn deletion(deletion: &Deletion) -> v1::Deletion {
    v1::Deletion {
        id: deletion.id.to_string(),
        connection_id: deletion.connection.to_string(),
        connection: deletion.name.to_string(),
        phase: phase(deletion.phase).into(),
        emergency: deletion.emergency,
        requested_at: Some(time(deletion.requested_at)),
        revoked_at: deletion.stamps.revoked.map(time),
        ended_at: deletion.stamps.ended.map(time),
        keys: deletion.keys,
        verdict: deletion.verdict.clone().unwrap_or_default(),
        pending: deletion
            .parked
            .as_ref()
            .map(|parked| parked.reason.clone())
            .unwrap_or_default(),
        scream: deletion.scream.as_ref().map(|scream| v1::Scream {
            length: Some(length(scream.length)),
            silent: Some(length(scream.silent)),
            counting_since: scream.counting_since.map(time),
            knocked_at: scream.knock.as_ref().map(|knock| time(knock.at)),
            label: scream
                .knock
                .as_ref()
                .map(|knock| knock.label.to_string())
                .unwrap_or_default(),
            finding: scream
                .knock
                .as_ref()
                .map(|knock| knock.finding.clone())
                .unwrap_or_default(),
            knocks: scream.knocks,
        }),
    }
}

/// How sweeps stand.
pub(super) fn sweep(view: &SweepView) -> v1::Sweep {
    let run = |sweep: &Sweep| v1::SweepRun {
        began_at: Some(time(sweep.began_at)),
        ended_at: sweep.ended_at.map(time),
        files: sweep.files,
        bytes: sweep.bytes,
    };
    v1::Sweep {
        schedule: view.schedule.as_str().to_owned(),
        running: view.running.as_ref().map(run),
        last: view.last.as_ref().map(run),
        due_at: view.due.map(time),
    }
}

pub(super) fn survey_progress(survey: &SurveyProgress) -> v1::SurveyProgress {
    v1::SurveyProgress {
        after: survey.round == Round::After,
        bucket: survey.bucket.to_string(),
        objects: survey.objects,
        bytes: survey.bytes,
        rate: survey.rate,
        expected: survey.expected.unwrap_or_default(),
    }
}
