//! Which ranges of keys are listed, and where they are split. Every range is listed from its
//! beginning to its end by one cursor; whoever has nothing to do takes the upper half of the range
//! that seems to have most left. Where that half is empty, one question has shown it.
//!
//! This decides and asks nobody. Whatever keys there are, and in whatever order pages arrive, the
//! stretches it hands out hold each key once and leave no gap.

use bascule_domain::{
    manifest::{Entry, Gap, Item, Stretch},
    names::ObjectKey,
};

/// A stretch is handed out when it holds as many entries.
const STRETCH: usize = 1000;
/// A range that seems to have less left is not worth splitting.
const WORTH_SPLITTING: f64 = 8000.0;
/// A range that goes on for so many pages has more left than it seems.
const STUBBORN: u32 = 8;
/// So many pages may turn out empty, and half as many more as have not.
const EMPTY_AT_FIRST: u64 = 256;
/// A server that sends nothing for so long is not listing.
const EMPTY_IN_A_ROW: u32 = 10_000;
/// All versions of one key are held at once, to bring them in order.
const LARGEST_GROUP: usize = 64 << 20;

/// So often a place between two keys is looked for.
const TRIES: u32 = 24;

/// Where a page starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cursor {
    /// Behind a key, or at the beginning of all.
    Behind(Option<ObjectKey>),
    /// Where a token of the server's says.
    Token(String),
    /// Behind a version of a key.
    Version { key: String, id: String },
}

/// What a page held: entries in the server's order, each with whether it is current.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) entries: Vec<(Entry, bool)>,
    pub(super) next: Option<Cursor>,
}

/// Why a page can't be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Keys came out of order.
    NotOrdered,
    /// The server began elsewhere than it was asked to.
    StartIgnored,
    /// The server sends the same again, or nothing for too long.
    Circles,
    /// One key has more versions than can be brought in order.
    GroupTooLarge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id(u64);

/// Whether the server begins a listing where it is asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seeking {
    Untried,
    Works,
    Ignored,
}

#[derive(Debug)]
struct Range {
    id: Id,
    gap: Gap,
    cursor: Cursor,
    /// Where to go on if the server ignores where the cursor begins: its own token, and what was
    /// taken back for the trial.
    token: Option<(Cursor, Vec<(Entry, bool)>)>,
    asked: bool,
    /// Up to here it was handed out.
    handed_out: Option<ObjectKey>,
    /// The last key that was listed, and the first.
    last: Option<ObjectKey>,
    first: Option<ObjectKey>,
    pending: Vec<(Entry, bool)>,
    listed: u64,
    pages_since_split: u32,
    empty_in_a_row: u32,
}

impl Range {
    fn new(id: Id, gap: Gap) -> Self {
        Self {
            id,
            cursor: Cursor::Behind(gap.after.clone()),
            token: None,
            asked: false,
            handed_out: gap.after.clone(),
            last: None,
            first: None,
            pending: Vec::new(),
            listed: 0,
            pages_since_split: 0,
            empty_in_a_row: 0,
            gap,
        }
    }

    /// What seems to be left, from how dense the keys so far are.
    fn left(&self) -> f64 {
        let (Some(first), Some(last)) = (&self.first, &self.last) else {
            return 0.0;
        };
        let scale = Scale::between(last.as_str(), self.gap.until.as_ref());
        let at = |key: &ObjectKey| scale.place(key.as_str());
        let (from, to) = (at(first), at(last));
        let end = self.gap.until.as_ref().map_or(Scale::TOP, at);
        if to <= from {
            // So dense that the scale shows no way at all.
            return f64::INFINITY;
        }
        self.listed as f64 * (end.saturating_sub(to) as f64 / (to - from) as f64)
    }

    /// A key in the middle of what is left.
    fn middle(&self) -> Option<ObjectKey> {
        let last = self.last.as_ref()?;
        let scale = Scale::between(last.as_str(), self.gap.until.as_ref());
        let mut from = scale.place(last.as_str());
        let to = (self.gap.until.as_ref()).map_or(Scale::TOP, |key| scale.place(key.as_str()));
        // Where keys share places, the middle may lie below what was listed.
        for _ in 0..TRIES {
            let middle = from + to.checked_sub(from)? / 2;
            let key = scale.key(middle, last.as_str())?;
            if key > *last {
                let below = self.gap.until.as_ref().is_none_or(|until| key < *until);
                return below.then_some(key);
            }
            from = middle;
        }
        None
    }

    /// Hands out what is whole. The last key may have more versions on the next page.
    fn hand_out(&mut self, ended: bool) -> Option<Stretch> {
        let whole = match self.pending.last() {
            Some((last, _)) if !ended && last.item != Item::Object => self
                .pending
                .partition_point(|(entry, _)| entry.key < last.key),
            _ => self.pending.len(),
        };
        if !ended && whole < STRETCH {
            return None;
        }
        let rest = self.pending.split_off(whole);
        let mut found = std::mem::replace(&mut self.pending, rest);
        let until = if ended {
            self.gap.until.clone()
        } else {
            found.last().map(|(entry, _)| entry.key.clone())
        };
        // Servers list the versions of a key by age.
        found.sort_by(|(a, _), (b, _)| a.place(b));
        let after = std::mem::replace(&mut self.handed_out, until.clone());
        let current = || found.iter().filter(|(_, current)| *current);
        Some(Stretch {
            gap: Gap { after, until },
            objects: current().count() as u64,
            bytes: current().fold(0, |sum: u64, (entry, _)| sum.saturating_add(entry.size)),
            entries: found.into_iter().map(|(entry, _)| entry).collect(),
        })
    }
}

/// All ranges that are not listed to their end.
#[derive(Debug)]
pub(super) struct Ranges {
    open: Vec<Range>,
    next_id: u64,
    seeking: Seeking,
    pages: u64,
    empty_pages: u64,
    listed: u64,
}

impl Ranges {
    pub(super) fn new(gaps: Vec<Gap>) -> Self {
        let mut ranges = Self {
            open: Vec::new(),
            next_id: 0,
            seeking: Seeking::Untried,
            pages: 0,
            empty_pages: 0,
            listed: 0,
        };
        for gap in gaps {
            ranges.begin(gap);
        }
        ranges
    }

    fn begin(&mut self, gap: Gap) -> usize {
        self.open.push(Range::new(Id(self.next_id), gap));
        self.next_id += 1;
        self.open.len() - 1
    }

    /// Whether everything was listed.
    pub(super) const fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// Whether it may be split: the server was seen to begin where it is asked to.
    pub(super) fn can_split(&self) -> bool {
        self.seeking == Seeking::Works
    }

    /// How many entries there seem to be, once that can be told at all.
    pub(super) fn estimate(&self) -> Option<u64> {
        let left: f64 = self.open.iter().map(Range::left).sum();
        let started = self.open.iter().all(|range| range.first.is_some());
        (started && left < 1e15).then(|| self.listed.saturating_add(left as u64))
    }

    /// Splits the only range at some of these keys, at which groups of keys begin.
    pub(super) fn split_at(&mut self, keys: impl IntoIterator<Item = ObjectKey>, most: usize) {
        let mut keys: Vec<_> = keys.into_iter().collect();
        keys.sort_unstable();
        let Some(last) = self.open.first().and_then(|range| range.last.as_ref()) else {
            return;
        };
        // As many as are worth it, if the other groups are as large as those that were listed.
        let passed = keys.partition_point(|key| key <= last).max(1);
        let left =
            self.listed as f64 / passed as f64 * (keys.len() - passed.min(keys.len())) as f64;
        let parts = ((left / WORTH_SPLITTING) as usize).clamp(1, most);
        let step = keys.len().div_ceil(parts).max(1);
        let keys: Vec<_> = keys.into_iter().step_by(step).collect();
        for key in keys.into_iter().rev() {
            // From above: the range with the lowest keys is always the first.
            if self.open.first().is_some_and(|range| {
                range.last.as_ref().is_some_and(|last| *last < key) && range.gap.holds(&key)
            }) {
                self.split(0, key);
            }
        }
    }

    fn split(&mut self, at: usize, middle: ObjectKey) -> usize {
        let range = &mut self.open[at];
        range.pages_since_split = 0;
        let until = range.gap.until.replace(middle.clone());
        self.begin(Gap {
            after: Some(middle),
            until,
        })
    }

    /// The next page to ask for: of a range that waits, or of the upper half of a busy one.
    pub(super) fn next(&mut self) -> Option<(Id, Cursor)> {
        let at = match self.open.iter().position(|range| !range.asked) {
            Some(at) => at,
            None => self.take_half()?,
        };
        let range = &mut self.open[at];
        range.asked = true;
        Some((range.id, range.cursor.clone()))
    }

    fn take_half(&mut self) -> Option<usize> {
        let spent = self.empty_pages > EMPTY_AT_FIRST + self.pages / 2;
        if !self.can_split() || spent {
            return None;
        }
        let worth = |range: &Range| {
            let left = range.left();
            let stubborn = range.pages_since_split >= STUBBORN;
            (left >= WORTH_SPLITTING || (stubborn && left > 0.0)).then_some(left)
        };
        let (at, _) = (self.open.iter().enumerate())
            .filter_map(|(at, range)| Some((at, worth(range)?)))
            .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let middle = self.open[at].middle()?;
        Some(self.split(at, middle))
    }

    /// Takes a page, and hands out what is whole.
    pub(super) fn take(&mut self, id: Id, page: Page) -> Result<Option<Stretch>, Trouble> {
        let Some(at) = self.open.iter().position(|range| range.id == id) else {
            return Ok(None);
        };
        let range = &mut self.open[at];
        range.asked = false;
        let Page { mut entries, next } = page;
        self.pages += 1;
        if entries.is_empty() {
            self.empty_pages += 1;
            range.empty_in_a_row += 1;
            if range.empty_in_a_row > EMPTY_IN_A_ROW {
                return Err(Trouble::Circles);
            }
        } else {
            range.empty_in_a_row = 0;
        }
        let sought = matches!(&range.cursor, Cursor::Behind(Some(_)));
        if let (Cursor::Behind(Some(after)), Some((first, _))) = (&range.cursor, entries.first())
            && first.key <= *after
        {
            let Some((token, back)) = range.token.take() else {
                return Err(Trouble::StartIgnored);
            };
            // The trial has failed: on by the server's own token, and never split.
            self.seeking = Seeking::Ignored;
            range.pending.extend(back);
            range.cursor = token;
            return Ok(None);
        }
        range.token = None;
        if sought && !entries.is_empty() && self.seeking == Seeking::Untried {
            self.seeking = Seeking::Works;
        }
        if next.is_some() && next.as_ref() == Some(&range.cursor) {
            return Err(Trouble::Circles);
        }
        let mut last = match &range.cursor {
            Cursor::Behind(after) => after.clone(),
            _ => range.last.clone(),
        };
        for (entry, _) in &entries {
            let grows = last.as_ref().is_none_or(|last| match entry.item {
                Item::Object => *last < entry.key,
                _ => *last <= entry.key,
            });
            if !grows {
                return Err(Trouble::NotOrdered);
            }
            last = Some(entry.key.clone());
        }
        let inside = entries.partition_point(|(entry, _)| range.gap.holds_below(&entry.key));
        // Nothing lies between the range's last key and its end, unless that key has more versions.
        let at_end = |(entry, _): &(Entry, bool)| {
            entry.item == Item::Object && Some(&entry.key) == range.gap.until.as_ref()
        };
        let ended = next.is_none() || inside < entries.len() || entries.last().is_some_and(at_end);
        entries.truncate(inside);
        range.listed += entries.len() as u64;
        self.listed += entries.len() as u64;
        range.pages_since_split += 1;
        if let Some((first, _)) = entries.first() {
            range.first.get_or_insert_with(|| first.key.clone());
        }
        if let Some((entry, _)) = entries.last() {
            range.last = Some(entry.key.clone());
        }
        range.pending.append(&mut entries);
        if !ended {
            range.cursor = next.unwrap_or(Cursor::Behind(None));
            if self.seeking == Seeking::Untried && range.gap.until.is_none() {
                range.try_to_seek();
            }
        }
        let stretch = range.hand_out(ended);
        if ended {
            self.open.swap_remove(at);
            // Splitting counts on the lowest range being the first.
            self.open.sort_by(|a, b| a.gap.after.cmp(&b.gap.after));
        } else if range.group_len() > LARGEST_GROUP {
            return Err(Trouble::GroupTooLarge);
        }
        Ok(stretch)
    }
}

impl Range {
    /// The second page is asked for by its key, to see whether the server heeds that. What the
    /// first page told of its last key is taken back, since that key may have more versions.
    fn try_to_seek(&mut self) {
        let Some((last, _)) = self.pending.last() else {
            return;
        };
        let (whole, behind) = match last.item {
            Item::Object => (self.pending.len(), Some(last.key.clone())),
            _ => {
                let whole = self
                    .pending
                    .partition_point(|(entry, _)| entry.key < last.key);
                let before = whole
                    .checked_sub(1)
                    .map(|at| self.pending[at].0.key.clone());
                (whole, before)
            }
        };
        if behind.is_none() {
            return;
        }
        let back = self.pending.split_off(whole);
        let token = std::mem::replace(&mut self.cursor, Cursor::Behind(behind));
        self.token = Some((token, back));
    }

    /// How much the last key's versions take.
    fn group_len(&self) -> usize {
        let Some((last, _)) = self.pending.last() else {
            return 0;
        };
        let group = self
            .pending
            .iter()
            .rev()
            .take_while(|(entry, _)| entry.key == last.key);
        group
            .map(|(entry, _)| {
                let texts = entry.key.as_str().len() + entry.item.id().map_or(0, str::len);
                size_of::<(Entry, bool)>() + texts + entry.etag.len()
            })
            .sum()
    }
}

/// Whether a key does not lie beyond a gap's end.
trait Below {
    fn holds_below(&self, key: &ObjectKey) -> bool;
}

impl Below for Gap {
    fn holds_below(&self, key: &ObjectKey) -> bool {
        self.until.as_ref().is_none_or(|until| key <= until)
    }
}

/// Places keys on a line, so that a middle can be told. Their common beginning is left out; of the
/// rest a few characters count. Characters that are rare in keys share places.
struct Scale {
    shared: String,
}

/// Symbols of the scale: control characters, printable ASCII, and classes of everything else.
const SYMBOLS: u128 = 300;
const DIGITS: usize = 15;

impl Scale {
    const TOP: u128 = {
        let (mut top, mut digit) = (1, 0);
        while digit < DIGITS {
            top *= SYMBOLS;
            digit += 1;
        }
        top - 1
    };

    fn between(from: &str, to: Option<&ObjectKey>) -> Self {
        let to = to.map_or("", ObjectKey::as_str);
        let same = from.chars().zip(to.chars()).take_while(|(a, b)| a == b);
        Self {
            shared: same.map(|(a, _)| a).collect(),
        }
    }

    fn place(&self, key: &str) -> u128 {
        let Some(rest) = key.strip_prefix(&*self.shared) else {
            return if key < &*self.shared { 0 } else { Self::TOP };
        };
        let mut place = 0;
        let mut characters = rest.chars();
        for _ in 0..DIGITS {
            let next = characters.next();
            place = place * SYMBOLS + next.map_or(0, symbol);
            // What follows a character that shares its place says nothing about the order.
            if next.is_some_and(|character| !(' '..='\x7f').contains(&character)) {
                characters = "".chars();
            }
        }
        place
    }

    /// A key at a place, above `from` if that is at a lower one.
    fn key(&self, mut place: u128, from: &str) -> Option<ObjectKey> {
        let mut symbols = Vec::with_capacity(DIGITS);
        for _ in 0..DIGITS {
            symbols.push(place % SYMBOLS);
            place /= SYMBOLS;
        }
        let mut key = self.shared.clone();
        let mut beside = from.strip_prefix(&*self.shared).map(str::chars);
        for wanted in symbols.into_iter().rev().take_while(|symbol| *symbol > 0) {
            let same = beside.as_mut().and_then(Iterator::next);
            match same.filter(|same| symbol(*same) == wanted) {
                // Of those that share the place, the one that `from` has.
                Some(same) => key.push(same),
                None => {
                    beside = None;
                    key.push(character(wanted));
                }
            }
        }
        key.parse().ok()
    }
}

fn symbol(character: char) -> u128 {
    let code = u128::from(u32::from(character));
    match code {
        0..0x20 => 0,
        0x20..0x80 => code - 0x1f,
        0x80..0x800 => 97 + ((code - 0x80) >> 5),
        0x800..0x1_0000 => 157 + ((code - 0x800) >> 9),
        _ => 281 + ((code - 0x1_0000) >> 16),
    }
}

/// The first character of a symbol's class.
fn character(symbol: u128) -> char {
    let code = match symbol {
        0 => 0,
        1..97 => symbol + 0x1f,
        97..157 => 0x80 + ((symbol - 97) << 5),
        157..281 => 0x800 + ((symbol - 157) << 9),
        _ => 0x1_0000 + ((symbol - 281) << 16),
    };
    // What is no character lies between two that are; the next one stands for it.
    u32::try_from(code)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or('\u{e000}')
}

#[cfg(test)]
mod tests;
