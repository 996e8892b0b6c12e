//! What stands in a piece of a file: known ids, ids that Bascule issued, words that look like ids.
//! Pure, and each of the passes looks at all bytes once.

use aho_corasick::{AhoCorasick, Input, MatchKind};
use bascule_domain::access_key::AccessKeyId;

use super::{
    Encoding, assignment,
    coding::Coding,
    needles::Needles,
    shape::{self, Confidence, Looks, Surroundings},
};

/// What is searched for. Everything that is set is.
#[derive(Clone, Copy, Default)]
pub struct Wanted<'a> {
    /// Known ids.
    pub needles: Option<&'a Needles>,
    /// Ids that look as if Bascule issued them, and that this then says are wanted. It is asked
    /// about few words that are none: one in 1,024 of the right shape.
    pub issued: Option<&'a (dyn Fn(&AccessKeyId) -> bool + Sync)>,
    /// Words that look like access key ids.
    pub by_shape: bool,
}

/// How an id was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Recognised {
    /// It is one of those that were searched for.
    Known,
    /// It is one that Bascule issued.
    Issued,
    /// By its shape or the name it is given to.
    Shape(Confidence),
}

/// An id that stands somewhere in a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where its bytes begin.
    pub(super) at: usize,
    pub(super) encoding: Encoding,
    pub(super) id: AccessKeyId,
    pub(super) recognised: Recognised,
}

/// What a piece comes to.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// By their places, one for each.
    pub(super) found: Vec<Found>,
    /// More than anybody reads were found, and left out.
    pub(super) too_many: bool,
    /// Examples and placeholders that were passed over.
    pub(super) examples: u64,
}

/// No piece of a file holds more ids that are told.
const MOST: usize = 100;

pub(super) struct Matcher<'a> {
    wanted: Wanted<'a>,
    signs: Option<Signs>,
}

/// What announces an id whose text is not known.
struct Signs {
    automaton: AhoCorasick,
    kinds: Vec<Sign>,
}

#[derive(Clone, Copy)]
enum Sign {
    /// The start of an id of our own.
    Issued(Coding),
    /// The start of one of AWS's.
    Aws(Coding),
    /// A piece of a name that ids are given to.
    Name,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(wanted: Wanted<'a>) -> Self {
        let names = wanted.by_shape || wanted.needles.is_some_and(Needles::has_named);
        let mut signs: Vec<(Vec<u8>, Sign)> = Vec::new();
        for coding in Coding::ALL {
            if wanted.issued.is_some() || wanted.by_shape {
                let prefix = AccessKeyId::ISSUED_PREFIX.as_bytes();
                signs.push((coding.encode(prefix), Sign::Issued(coding)));
            }
            if wanted.by_shape {
                let prefixes = shape::AWS_PREFIXES.iter();
                signs.extend(
                    prefixes.map(|prefix| (coding.encode(prefix.as_bytes()), Sign::Aws(coding))),
                );
            }
        }
        if names {
            let pieces = assignment::NAME_PIECES.iter();
            signs.extend(pieces.map(|piece| (piece.as_bytes().to_vec(), Sign::Name)));
        }
        Self {
            wanted,
            signs: Signs::new(&signs),
        }
    }

    /// Looks at what begins in `bytes[from..to]`.
    pub(super) fn search(
        &self,
        bytes: &[u8],
        from: usize,
        to: usize,
        surroundings: Surroundings,
    ) -> Findings {
        let mut findings = Findings::default();
        if let Some(needles) = self.wanted.needles {
            needles.search(bytes, from, to, |at, id, coding, stands_alone| {
                if is_there(bytes, at, id, coding, stands_alone) {
                    let encoding = coding.encoding(bytes, at, id.as_str().len());
                    findings.add(at, encoding, id.clone(), Recognised::Known);
                }
            });
        }
        if let Some(signs) = &self.signs {
            signs.search(bytes, from, to, |at, sign| match sign {
                Sign::Issued(coding) => self.issued(bytes, at, coding, surroundings, &mut findings),
                Sign::Aws(coding) => aws(bytes, at, coding, surroundings, &mut findings),
                Sign::Name => self.named(bytes, at, surroundings, &mut findings),
            });
        }
        findings.settle();
        findings
    }

    fn issued(
        &self,
        bytes: &[u8],
        at: usize,
        coding: Coding,
        surroundings: Surroundings,
        findings: &mut Findings,
    ) {
        let Some(word) = coded_word(bytes, at, coding, AccessKeyId::ISSUED_LEN) else {
            return;
        };
        if !AccessKeyId::looks_issued(&word) {
            return;
        }
        let Ok(id) = word.parse::<AccessKeyId>() else {
            return;
        };
        let encoding = coding.encoding(bytes, at, word.len());
        match self.wanted.issued {
            Some(is_wanted) if !is_wanted(&id) => {}
            Some(_) => findings.add(at, encoding, id, Recognised::Issued),
            // Nobody says that it is one of ours: where examples stand it may be one.
            None => {
                let commented = coding == Coding::Plain && shape::is_comment(&bytes[..at]);
                let recognised = match surroundings.in_comment(commented) {
                    Surroundings::Lock | Surroundings::Examples => {
                        Recognised::Shape(Confidence::Low)
                    }
                    Surroundings::Code | Surroundings::Configuration => Recognised::Issued,
                };
                findings.add(at, encoding, id, recognised);
            }
        }
    }

    fn named(&self, bytes: &[u8], at: usize, surroundings: Surroundings, findings: &mut Findings) {
        let Some(start) = assignment::value_of(bytes, at) else {
            return;
        };
        let Some(word) = shape::word(&bytes[start..]) else {
            return;
        };
        let (before, after) = (&bytes[..start], &bytes[start + word.len()..]);
        let needle = self.wanted.needles.and_then(|needles| needles.named(word));
        if let Some(id) = needle {
            findings.add(start, Encoding::Plain, id.clone(), Recognised::Known);
        } else if self.wanted.by_shape {
            let surroundings = surroundings.in_comment(shape::is_comment(before));
            let looks = shape::assigned(word, before, after, surroundings);
            findings.look(start, Encoding::Plain, word, looks);
        }
    }
}

fn aws(
    bytes: &[u8],
    at: usize,
    coding: Coding,
    surroundings: Surroundings,
    findings: &mut Findings,
) {
    if let Some(word) = coded_word(bytes, at, coding, shape::AWS_LENGTH) {
        let commented = coding == Coding::Plain && shape::is_comment(&bytes[..at]);
        let surroundings = surroundings.in_comment(commented);
        let looks = shape::aws(word.as_bytes(), surroundings);
        findings.look(at, coding.encoding(bytes, at, word.len()), &word, looks);
    }
}

/// The word of so many characters whose coding begins here, if it is a whole word.
fn coded_word(bytes: &[u8], at: usize, coding: Coding, length: usize) -> Option<String> {
    let window = coding.window(bytes, at, length)?;
    let (before, rest) = window.text.split_at(window.at);
    let (word, after) = rest.split_at(length);
    let word = std::str::from_utf8(word).ok()?;
    assignment::is_word(before, after).then(|| word.to_owned())
}

/// Whether the id stands there as a word, and as a key if it could be another word too.
fn is_there(bytes: &[u8], at: usize, id: &AccessKeyId, coding: Coding, stands_alone: bool) -> bool {
    let length = id.as_str().len();
    let Some(window) = coding.window(bytes, at, length) else {
        return false;
    };
    let before = &window.text[..window.at];
    let after = &window.text[window.at + length..];
    if !assignment::is_word(before, after) {
        return false;
    }
    // `my-backup-user` is another one than `backup-user`.
    let joined = |byte: Option<&u8>| matches!(byte, Some(b'-' | b'.'));
    stands_alone
        || !joined(before.last())
            && !joined(after.first())
            && (assignment::assigns_key_id(before)
                || window.outside.is_some_and(assignment::assigns_key_id))
}

impl Findings {
    fn add(&mut self, at: usize, encoding: Encoding, id: AccessKeyId, recognised: Recognised) {
        // What is settled later may leave some out: a few more are kept.
        if self.found.len() < 4 * MOST {
            self.found.push(Found {
                at,
                encoding,
                id,
                recognised,
            });
        } else {
            self.too_many = true;
        }
    }

    fn look(&mut self, at: usize, encoding: Encoding, word: &str, looks: Looks) {
        match looks {
            Looks::KeyId(confidence) => {
                if let Ok(id) = word.parse() {
                    self.add(at, encoding, id, Recognised::Shape(confidence));
                }
            }
            Looks::Example => self.examples += 1,
            Looks::Other => {}
        }
    }

    /// What was found in several ways is told once, in the best one.
    fn settle(&mut self) {
        self.found.sort_by(|a, b| {
            (a.at, a.encoding, a.recognised).cmp(&(b.at, b.encoding, b.recognised))
        });
        self.found
            .dedup_by(|later, first| (later.at, later.encoding) == (first.at, first.encoding));
        self.too_many |= self.found.len() > MOST;
        self.found.truncate(MOST);
    }
}

impl Signs {
    fn new(signs: &[(Vec<u8>, Sign)]) -> Option<Self> {
        if signs.is_empty() {
            return None;
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostFirst)
            .build(signs.iter().map(|(text, _)| text))
            .ok()?;
        Some(Self {
            automaton,
            kinds: signs.iter().map(|(_, sign)| *sign).collect(),
        })
    }

    /// Tells each sign that begins at `from` or behind and before `to`, also where two overlap.
    fn search(&self, bytes: &[u8], from: usize, to: usize, mut found: impl FnMut(usize, Sign)) {
        let mut at = from;
        while at < to {
            let Some(hit) = self.automaton.find(Input::new(bytes).range(at..)) else {
                return;
            };
            if hit.start() >= to {
                return;
            }
            if let Some(sign) = self.kinds.get(hit.pattern().as_usize()) {
                found(hit.start(), *sign);
            }
            at = hit.start() + 1;
        }
    }
}
