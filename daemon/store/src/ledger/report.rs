//! What was used how, put together from the tables for a period. Reads only.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::Duration,
};

use bascule_domain::{
    Timestamp,
    ids::{ConnectionId, KeyId},
    tool::tool,
};
use rusqlite::params;

use super::{
    Client, Gap, Process,
    book::{Book, ClientId, Failure, OTHER},
    names::Names,
    tally::HOUR,
};

/// What a report is about.
#[derive(Debug, Clone)]
pub struct Query {
    /// Which keys, of which connections, and when each was issued.
    pub keys: Vec<(KeyId, ConnectionId, Timestamp)>,
    /// From when on; begins with the hour.
    pub from: Timestamp,
    /// Until when.
    pub to: Timestamp,
    /// What makes a row.
    pub by: By,
    /// How many cells of activity at most.
    pub cells: u32,
}

/// What makes a row of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The key alone.
    Key,
    /// And the tool.
    Tool,
    /// And the process.
    Process,
    /// And the address.
    Address,
    /// And address, tool and process together.
    Client,
}

/// What a row stands for, besides its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Group {
    /// All of the key.
    Key,
    /// A tool, as it says itself.
    Tool(String),
    /// A process; `None` where it could not be seen.
    Process(Option<Process>),
    /// An address.
    Address(IpAddr),
    /// A client as far as it can be told from others.
    Client {
        /// Where it is.
        address: IpAddr,
        /// As it says itself.
        tool: String,
        /// `None` where it could not be seen.
        process: Option<Process>,
    },
    /// Clients that were too many to be told apart.
    Other,
    /// Clients whose connection is erased.
    Erased,
}

/// A report.
#[derive(Debug, Clone)]
pub struct Report {
    /// When the ledger was begun.
    pub begun: Timestamp,
    /// When the first cell begins.
    pub from: Timestamp,
    /// How long a cell of activity is.
    pub cell: Duration,
    /// What is not known in the period.
    pub gaps: Vec<Gap>,
    /// The last used first.
    pub rows: Vec<Row>,
}

/// Requests in a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Activity {
    /// So many are known, refused ones included.
    pub requests: u64,
    /// Whether some may be missing.
    pub unknown: bool,
}

/// One row.
#[derive(Debug, Clone)]
pub struct Row {
    /// Which key.
    pub key: KeyId,
    /// And what else.
    pub group: Group,
    /// The first request in the period.
    pub first: Timestamp,
    /// The last one.
    pub last: Timestamp,
    /// Served requests by operation: how many, bytes received and sent.
    pub operations: BTreeMap<String, (u64, u64, u64)>,
    /// Refused ones by reason.
    pub refused: BTreeMap<String, u64>,
    /// The tools that were seen.
    pub tools: BTreeSet<String>,
    /// The longest interval between two uses that ended in the period. `None` with less than two.
    pub longest: Option<Duration>,
    /// Whether that is only an upper bound: rows of one client are exact above an hour.
    pub at_most: bool,
    /// Over the period.
    pub activity: Vec<Activity>,
}

struct Grown {
    row: Row,
    /// First and last request in each hour.
    hours: BTreeMap<i64, (i64, i64)>,
}

pub(super) fn report(book: &mut Book, names: &mut Names, query: &Query) -> Result<Report, Failure> {
    let first_hour = query.from.as_millisecond().div_euclid(HOUR);
    let last_hour = query.to.as_millisecond().div_euclid(HOUR);
    let hours = (last_hour - first_hour + 1).max(1);
    let width = width(hours.unsigned_abs(), u64::from(query.cells.max(1)));
    let cells = usize::try_from(hours.unsigned_abs().div_ceil(width)).unwrap_or(1);
    let frame = Frame {
        first_hour,
        last_hour,
        width: i64::try_from(width).unwrap_or(i64::MAX),
        cells,
    };
    let from = time(first_hour * HOUR);
    let gaps = book.gaps(from, query.to)?;
    let mut rows = Vec::new();
    let mut clients: HashMap<ConnectionId, HashMap<ClientId, Client>> = HashMap::new();
    for (key, connection, issued_at) in &query.keys {
        if !clients.contains_key(connection) {
            clients.insert(*connection, names.clients(&book.file, *connection)?);
        }
        let mut of_key = of_key(book, *key, &clients[connection], query.by, &frame)?;
        for row in &mut of_key {
            mark_unknown(row, &gaps, *issued_at, &frame);
        }
        rows.extend(of_key);
    }
    rows.sort_by(|a, b| b.last.cmp(&a.last).then(a.key.cmp(&b.key)));
    Ok(Report {
        begun: book.begun()?,
        from,
        cell: Duration::from_secs(width.saturating_mul(3_600)),
        gaps,
        rows,
    })
}

/// Hours in a cell: a width that people know. One cell more than asked for is the hour that has
/// begun.
fn width(hours: u64, cells: u64) -> u64 {
    const WEEK: u64 = 7 * 24;
    [1, 2, 3, 4, 6, 8, 12, 24, 48, WEEK]
        .into_iter()
        .find(|width| hours.div_ceil(*width) <= cells + 1)
        .unwrap_or_else(|| hours.div_ceil(cells).next_multiple_of(WEEK))
}

struct Frame {
    first_hour: i64,
    last_hour: i64,
    /// Hours in a cell.
    width: i64,
    cells: usize,
}

fn time(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn of_key(
    book: &Book,
    key: KeyId,
    clients: &HashMap<ClientId, Client>,
    by: By,
    frame: &Frame,
) -> Result<Vec<Row>, Failure> {
    let mut grown: HashMap<Group, Grown> = HashMap::new();
    let mut statement = book.file.prepare(
        "SELECT hour, client, refused, what, number, received, sent, first, last FROM requests
         WHERE key = ?1 AND hour BETWEEN ?2 AND ?3",
    )?;
    let mut found = statement.query(params![key.as_bytes(), frame.first_hour, frame.last_hour])?;
    while let Some(row) = found.next()? {
        let (hour, id): (i64, ClientId) = (row.get(0)?, row.get(1)?);
        let (refused, what): (bool, String) = (row.get(2)?, row.get(3)?);
        let counted = |at| Ok::<_, Failure>(row.get::<_, i64>(at)?.unsigned_abs());
        let (number, received, sent) = (counted(4)?, counted(5)?, counted(6)?);
        let (first, last): (i64, i64) = (row.get(7)?, row.get(8)?);
        let client = clients.get(&id);
        let known = grown
            .entry(group(by, id, client))
            .or_insert_with_key(|group| Grown::new(key, group.clone(), first, frame.cells));
        known
            .hours
            .entry(hour)
            .and_modify(|(from, to)| {
                *from = (*from).min(first);
                *to = (*to).max(last);
            })
            .or_insert((first, last));
        let row = &mut known.row;
        row.first = row.first.min(time(first));
        row.last = row.last.max(time(last));
        row.tools
            .extend(client.map(|client| tool(&client.user_agent)));
        if refused {
            *row.refused.entry(what).or_default() += number;
        } else {
            let sums = row.operations.entry(what).or_default();
            *sums = (sums.0 + number, sums.1 + received, sums.2 + sent);
        }
        let cell = usize::try_from((hour - frame.first_hour) / frame.width).unwrap_or(0);
        if let Some(cell) = row.activity.get_mut(cell) {
            cell.requests += number;
        }
    }
    let exact = if by == By::Key {
        exact_of(book, key, frame)?
    } else {
        None
    };
    Ok(grown
        .into_values()
        .map(|grown| match exact {
            Some(longest) => Row {
                longest,
                ..grown.row
            },
            None => grown.finish(),
        })
        .collect())
}

fn group(by: By, id: ClientId, client: Option<&Client>) -> Group {
    match (by, client) {
        (By::Key, _) => Group::Key,
        (_, None) if id == OTHER => Group::Other,
        (_, None) => Group::Erased,
        (By::Tool, Some(client)) => Group::Tool(tool(&client.user_agent)),
        (By::Process, Some(client)) => Group::Process(client.process.clone()),
        (By::Address, Some(client)) => Group::Address(client.address),
        (By::Client, Some(client)) => Group::Client {
            address: client.address,
            tool: tool(&client.user_agent),
            process: client.process.clone(),
        },
    }
}

/// The longest interval of the key itself, as far as it was used in the period.
fn exact_of(book: &Book, key: KeyId, frame: &Frame) -> Result<Option<Option<Duration>>, Failure> {
    let (longest, first, last): (Option<i64>, Option<i64>, Option<i64>) = book.file.query_row(
        "SELECT max(longest), min(first), max(last) FROM hours
         WHERE key = ?1 AND hour BETWEEN ?2 AND ?3",
        params![key.as_bytes(), frame.first_hour, frame.last_hour],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    Ok(longest.map(|longest| {
        let several = longest > 0 || first < last;
        several.then(|| Duration::from_millis(longest.unsigned_abs()))
    }))
}

impl Grown {
    fn new(key: KeyId, group: Group, first: i64, cells: usize) -> Self {
        Self {
            row: Row {
                key,
                group,
                first: time(first),
                last: time(first),
                operations: BTreeMap::new(),
                refused: BTreeMap::new(),
                tools: BTreeSet::new(),
                longest: None,
                at_most: false,
                activity: vec![Activity::default(); cells],
            },
            hours: BTreeMap::new(),
        }
    }

    /// The longest interval from one hour with requests to the next; within an hour it is not
    /// known.
    fn finish(mut self) -> Row {
        let hours: Vec<_> = self.hours.values().collect();
        let between = hours.windows(2).map(|pair| pair[1].0 - pair[0].1).max();
        let within = hours.iter().any(|(first, last)| last > first);
        let between = between.map(|between| between.max(0));
        let longest = match between {
            Some(between) if between >= HOUR || !within => Some((between, false)),
            _ if within => Some((HOUR, true)),
            _ => None,
        };
        if let Some((longest, at_most)) = longest {
            self.row.longest = Some(Duration::from_millis(longest.unsigned_abs()));
            self.row.at_most = at_most;
        }
        self.row
    }
}

/// A key that did not exist yet has no gap.
fn mark_unknown(row: &mut Row, gaps: &[Gap], issued_at: Timestamp, frame: &Frame) {
    for (number, cell) in row.activity.iter_mut().enumerate() {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        let begin = (frame.first_hour + number * frame.width) * HOUR;
        let (begin, end) = (time(begin), time(begin + frame.width * HOUR));
        cell.unknown = gaps
            .iter()
            .any(|gap| gap.from.max(issued_at).max(begin) < gap.to.min(end));
    }
}
