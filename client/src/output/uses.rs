//! Who uses which key, as a document and for people. Ids are masked in both; secrets never come here.

use std::{collections::BTreeMap, path::Path};

use bascule_domain::{Timestamp, access_key::AccessKeyId};
use bascule_proto::v1;
use bascule_watch::{Gap, Left, Link, NextRun, Place, Rank, Standing, Use};
use serde::Serialize;

use super::{
    document,
    text::{BAD, DIM, GOOD, HEAD, NEXT, WARN, count, escape, styled},
    time::{absolute_and_relative, parsed, relative, rfc3339},
};

/// A key with everything that uses it.
#[derive(Debug, Serialize)]
pub(crate) struct KeyDocument {
    /// Masked.
    pub(crate) key: String,
    /// What the daemon knows of it; `null` when none was asked.
    pub(crate) state: Option<StateDocument>,
    pub(crate) servers: Vec<String>,
    pub(crate) buckets: Vec<String>,
    pub(crate) uses: Vec<UseDocument>,
    /// Whether its users need attention.
    pub(crate) finding: bool,
}

/// What the daemon knows of a key.
#[derive(Debug, Serialize)]
pub(crate) struct StateDocument {
    pub(crate) state: String,
    pub(crate) connection: Option<String>,
    pub(crate) label: Option<String>,
    pub(crate) at: Option<String>,
    pub(crate) why: Option<String>,
    #[serde(skip)]
    time: Option<Timestamp>,
}

/// One consumer's use.
#[derive(Debug, Serialize)]
pub(crate) struct UseDocument {
    pub(crate) kind: String,
    pub(crate) rank: &'static str,
    pub(crate) standing: &'static str,
    /// What shadows it, or why it is not used.
    pub(crate) because: Option<String>,
    pub(crate) chain: Vec<LinkDocument>,
    pub(crate) place: PlaceDocument,
    pub(crate) next_run: Option<document::NextRun>,
    pub(crate) user: Option<String>,
    pub(crate) bucket: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) has_secret: bool,
    pub(crate) temporary: bool,
    /// Why the key may be one that does not work: what the journal of its unit says.
    pub(crate) suspected: Option<String>,
    #[serde(skip)]
    rank_value: Rank,
    #[serde(skip)]
    next_run_value: Option<NextRun>,
}

/// One step.
#[derive(Debug, Serialize)]
pub(crate) struct LinkDocument {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) place: Option<PlaceDocument>,
    pub(crate) why: String,
}

/// Where something stands: in a file, in a variable, or in an argument.
#[derive(Debug, Default, Serialize)]
pub(crate) struct PlaceDocument {
    pub(crate) path: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) variable: Option<String>,
    pub(crate) argument: Option<String>,
}

/// What could not be looked at.
#[derive(Debug, Serialize)]
pub(crate) struct GapDocument {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) remedy: String,
    pub(crate) chain: Vec<LinkDocument>,
}

/// What was left out on purpose, summed by its reason.
#[derive(Debug, Serialize)]
pub(crate) struct LeftDocument {
    pub(crate) why: String,
    pub(crate) count: u64,
    pub(crate) examples: Vec<String>,
}

impl From<&Left> for LeftDocument {
    fn from(left: &Left) -> Self {
        let examples = left.examples.iter();
        Self {
            why: left.why.to_string(),
            count: left.count,
            examples: examples.map(|path| path.display().to_string()).collect(),
        }
    }
}

impl From<&v1::Judgement> for StateDocument {
    fn from(judgement: &v1::Judgement) -> Self {
        let given = |text: &String| (!text.is_empty()).then(|| text.clone());
        Self {
            state: judgement.state.clone(),
            connection: given(&judgement.connection),
            label: given(&judgement.label),
            at: rfc3339(judgement.at.as_ref()),
            why: given(&judgement.why),
            time: parsed(judgement.at.as_ref()),
        }
    }
}

impl StateDocument {
    /// Whether whoever uses such a key needs attention.
    fn is_finding(&self) -> bool {
        matches!(
            self.state.as_str(),
            "dead" | "paused" | "expired" | "retiring" | "leaked" | "marked-dead"
        )
    }

    fn told(&self, now: Timestamp) -> String {
        let mut text = match self.state.as_str() {
            "brought" => "a connection's own key at its provider".to_owned(),
            "leaked" => "reported as leaked".to_owned(),
            "marked-dead" => "marked as dead".to_owned(),
            "unknown" => "not issued by Bascule".to_owned(),
            state => state.to_owned(),
        };
        if let Some(at) = self.time {
            let word = if self.state == "retiring" {
                "until"
            } else {
                "since"
            };
            text = format!("{text} {word} {}", absolute_and_relative(at, now));
        }
        if let Some(why) = &self.why {
            text = format!("{text}: {why}");
        }
        let owner = match (&self.connection, &self.label) {
            (Some(connection), Some(label)) => format!(" [{connection}/{label}]"),
            (Some(connection), None) => format!(" [{connection}]"),
            _ => String::new(),
        };
        format!("{text}{owner}")
    }
}

impl From<&Place> for PlaceDocument {
    fn from(place: &Place) -> Self {
        let mut document = Self::default();
        match place {
            Place::File { path, line } => {
                document.path = Some(path.display().to_string());
                document.line = (*line > 0).then_some(*line);
            }
            Place::Variable(name) => document.variable = Some(name.clone()),
            Place::Argument(name) => document.argument = Some(name.clone()),
        }
        document
    }
}

impl From<&Link> for LinkDocument {
    fn from(link: &Link) -> Self {
        Self {
            kind: link.kind.as_str(),
            name: link.name.clone(),
            place: link.place.as_ref().map(Into::into),
            why: link.why.to_string(),
        }
    }
}

fn next_run(next: &NextRun) -> document::NextRun {
    let mut document = document::NextRun::default();
    match next {
        NextRun::At(time) => document.at = Some(time.to_string()),
        NextRun::On(event) => document.on = Some(event.clone()),
        NextRun::Never(why) => document.never = Some(why.clone()),
        NextRun::Unknown(why) => document.unknown = Some(why.clone()),
    }
    document
}

impl From<&Use> for UseDocument {
    fn from(found: &Use) -> Self {
        Self {
            kind: found.kind.to_string(),
            rank: found.rank.as_str(),
            standing: found.standing.as_str(),
            because: match &found.standing {
                Standing::Shadowed { by } => Some(by.clone()),
                Standing::Unused { why } => Some(why.clone()),
                Standing::Effective | Standing::Unknown => None,
            },
            chain: found.chain.iter().map(Into::into).collect(),
            place: (&found.key.place).into(),
            next_run: found.next_run.as_ref().map(next_run),
            user: found.user.clone(),
            bucket: found.bucket.clone(),
            server: found.key.endpoint.as_ref().map(ToString::to_string),
            has_secret: found.key.secret.is_some(),
            temporary: found.key.temporary,
            suspected: found
                .suspected
                .as_ref()
                .map(|suspicion| format!("{} failed: {}", suspicion.unit, suspicion.line)),
            rank_value: found.rank,
            next_run_value: found.next_run.clone(),
        }
    }
}

impl From<&Gap> for GapDocument {
    fn from(gap: &Gap) -> Self {
        Self {
            what: gap.what.clone(),
            why: gap.why.clone(),
            remedy: gap.remedy.clone(),
            chain: gap.chain.iter().map(Into::into).collect(),
        }
    }
}

/// The keys of a look with their uses: those that need attention first, then by how much their uses
/// matter.
pub(crate) fn by_key(
    uses: &[Use],
    states: &BTreeMap<AccessKeyId, v1::Judgement>,
) -> Vec<KeyDocument> {
    let mut keys: BTreeMap<&AccessKeyId, Vec<&Use>> = BTreeMap::new();
    for found in uses {
        keys.entry(&found.key.id).or_default().push(found);
    }
    let mut documents: Vec<(Rank, KeyDocument)> = keys
        .into_iter()
        .map(|(id, uses)| {
            let rank = uses.iter().map(|found| found.rank).min();
            (
                rank.unwrap_or(Rank::Leftover),
                key(id, &uses, states.get(id)),
            )
        })
        .collect();
    documents.sort_by(|(rank, a), (other, b)| {
        (!a.finding, rank, &a.key).cmp(&(!b.finding, other, &b.key))
    });
    documents
        .into_iter()
        .map(|(_, document)| document)
        .collect()
}

fn key(id: &AccessKeyId, uses: &[&Use], judgement: Option<&v1::Judgement>) -> KeyDocument {
    let state = judgement.map(StateDocument::from);
    let mut servers: Vec<String> = Vec::new();
    let mut buckets: Vec<String> = Vec::new();
    for found in uses {
        let server = found.key.endpoint.as_ref().map(ToString::to_string);
        servers.extend(server);
        buckets.extend(found.bucket.clone());
    }
    for list in [&mut servers, &mut buckets] {
        list.sort();
        list.dedup();
    }
    KeyDocument {
        key: id.masked(),
        finding: state.as_ref().is_some_and(StateDocument::is_finding)
            || uses.iter().any(|found| found.suspected.is_some()),
        state,
        servers,
        buckets,
        uses: uses.iter().map(|found| UseDocument::from(*found)).collect(),
    }
}

/// A key and its uses for people.
pub(crate) fn render(key: &KeyDocument, home: Option<&Path>, now: Timestamp) -> String {
    let style = if key.finding { BAD } else { HEAD };
    let mut text = styled(style, &escape(&key.key));
    if let Some(state) = key.state.as_ref().filter(|state| state.state != "unknown") {
        let style = match state.state.as_str() {
            "living" => GOOD,
            _ if key.finding => BAD,
            _ => WARN,
        };
        text.push_str(&format!("  {}", styled(style, &escape(&state.told(now)))));
    }
    let mut about = key.servers.clone();
    if !key.buckets.is_empty() {
        about.push(format!("bucket {}", key.buckets.join(", ")));
    }
    if !about.is_empty() {
        text.push_str(&format!("  {}", styled(DIM, &escape(&about.join(" · ")))));
    }
    text.push('\n');
    for found in &key.uses {
        text.push_str(&line(found, home, now));
    }
    text
}

fn line(found: &UseDocument, home: Option<&Path>, now: Timestamp) -> String {
    let word = match found.rank_value {
        Rank::Process => "running",
        Rank::Scheduled => "scheduled",
        Rank::Manual => "by hand",
        Rank::Configuration => "config",
        Rank::Leftover => "leftover",
    };
    let mut steps: Vec<String> = found.chain.iter().map(|link| step(link, home)).collect();
    steps.push(place(&found.place, home));
    let mut text = format!("  {word:<9}  {}", escape(&steps.join(" → ")));
    if let Some(because) = &found.because {
        let told = match found.standing {
            "shadowed" => format!("not used: {because} stands before it"),
            _ => format!("not used: {because}"),
        };
        text.push_str(&format!("  {}", styled(DIM, &escape(&told))));
    }
    if let Some(user) = &found.user {
        text.push_str(&styled(DIM, &format!("  as {}", escape(user))));
    }
    text.push('\n');
    if let Some(why) = &found.suspected {
        let told = format!("suspected: {why}");
        text.push_str(&format!("             {}\n", styled(WARN, &escape(&told))));
    }
    if let Some(next) = &found.next_run_value {
        let told = match next {
            NextRun::At(time) => format!("next run {}", absolute_and_relative(*time, now)),
            NextRun::On(event) => format!("runs {event}"),
            NextRun::Never(why) => format!("does not run by itself: {why}"),
            NextRun::Unknown(why) => format!("next run not known: {why}"),
        };
        text.push_str(&format!("             {}\n", styled(DIM, &escape(&told))));
    }
    text
}

fn step(link: &LinkDocument, home: Option<&Path>) -> String {
    // A command, script or crontab is looked for where it stands; units and entries by their name.
    let shows_place = matches!(link.kind, "script" | "cron" | "mount" | "environment-file");
    match link.place.as_ref().filter(|_| shows_place) {
        Some(at) if link.kind == "script" => place(at, home),
        Some(at) => format!("{} ({})", link.name, place(at, home)),
        None => link.name.clone(),
    }
}

/// Where something stands, for people.
pub(crate) fn place(place: &PlaceDocument, home: Option<&Path>) -> String {
    if let Some(path) = &place.path {
        let short = home
            .and_then(|home| Path::new(path).strip_prefix(home).ok())
            .map_or_else(|| path.clone(), |below| format!("~/{}", below.display()));
        return match place.line {
            Some(line) => format!("{short}:{line}"),
            None => short,
        };
    }
    match (&place.variable, &place.argument) {
        (Some(variable), _) => format!("${variable}"),
        (None, Some(argument)) => format!("argument {argument}"),
        (None, None) => String::new(),
    }
}

/// What could not be looked at, for people.
pub(crate) fn render_gaps(gaps: &[GapDocument], home: Option<&Path>) -> String {
    let mut text = String::new();
    for gap in gaps {
        let mut steps: Vec<String> = gap.chain.iter().map(|link| step(link, home)).collect();
        steps.push(gap.what.clone());
        text.push_str(&format!(
            "{} {}: {}\n",
            styled(WARN, "not checked:"),
            escape(&steps.join(" → ")),
            escape(&gap.why)
        ));
        if !gap.remedy.is_empty() {
            text.push_str(&format!(
                "  {} {}\n",
                styled(NEXT, "→"),
                escape(&gap.remedy)
            ));
        }
    }
    text
}

/// What was left out, for people.
pub(crate) fn render_left(left: &[LeftDocument], home: Option<&Path>) -> String {
    let mut text = String::new();
    for left in left {
        let example = left.examples.first().map_or(String::new(), |path| {
            let document = PlaceDocument {
                path: Some(path.clone()),
                ..PlaceDocument::default()
            };
            format!(", such as {}", place(&document, home))
        });
        let told = format!("left out: {} {}{example}", left.count, left.why);
        text.push_str(&format!("{}\n", styled(DIM, &escape(&told))));
    }
    text
}

/// `2 running, 1 scheduled (next in 5 h), 3 in configurations`: what stops if the key goes.
pub(crate) fn stops(uses: &[&UseDocument], now: Timestamp) -> String {
    let of = |rank: Rank| uses.iter().filter(|found| found.rank_value == rank).count() as u64;
    let next = uses
        .iter()
        .filter_map(|found| match found.next_run_value {
            Some(NextRun::At(time)) => Some(time),
            _ => None,
        })
        .min();
    let mut parts = Vec::new();
    if of(Rank::Process) > 0 {
        parts.push(format!(
            "{} that runs now",
            count(of(Rank::Process), "process")
        ));
    }
    if of(Rank::Scheduled) > 0 {
        let next = next.map_or(String::new(), |time| {
            format!(" (next {})", relative(time, now))
        });
        parts.push(format!(
            "{}{next}",
            count(of(Rank::Scheduled), "scheduled job")
        ));
    }
    if of(Rank::Manual) > 0 {
        parts.push(count(of(Rank::Manual), "job started by hand"));
    }
    if of(Rank::Configuration) > 0 {
        let entries = of(Rank::Configuration);
        let entries = if entries == 1 {
            "1 configured entry".to_owned()
        } else {
            format!("{entries} configured entries")
        };
        parts.push(entries);
    }
    if parts.is_empty() {
        "nothing that is known".to_owned()
    } else {
        parts.join(", ")
    }
}
