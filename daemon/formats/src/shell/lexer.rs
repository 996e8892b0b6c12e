//! Words, operators, quotes and here-documents.

use super::{Part, Script, Word, reader};

/// How deep substitutions are followed.
pub(super) const DEEPEST: usize = 6;
/// Parts of words, in all of a script.
const MOST_PARTS: usize = 200_000;

/// What a script consists of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(Word),
    /// `;`, `&`, `|`, `&&`, `||` or the end of a line.
    End,
    /// `;;` and its like.
    CaseEnd,
    Open,
    Close,
}

/// A here-document whose text begins on the next line.
struct Here {
    delimiter: String,
    strips_tabs: bool,
}

pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    depth: usize,
    here: Vec<Here>,
    parts: usize,
    /// How many bytes may still be searched for closing brackets, so that time grows with the text.
    budget: usize,
    /// Scripts within the words read last: they run before these words' command.
    pub(super) inner: Vec<Script>,
    pub(super) given_up_at: Option<u32>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str, line: u32, depth: usize) -> Self {
        Self {
            text,
            at: text.len() - text.trim_start_matches('\u{feff}').len(),
            line,
            depth,
            here: Vec::new(),
            parts: 0,
            budget: 16 * text.len() + 4096,
            inner: Vec::new(),
            given_up_at: None,
        }
    }

    pub(super) fn line(&self) -> u32 {
        self.line
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    fn skip(&mut self, prefix: &str) -> bool {
        let has = self.rest().starts_with(prefix);
        if has {
            self.at += prefix.len();
        }
        has
    }

    /// The next token; redirections and comments are passed over.
    pub(super) fn next(&mut self) -> Option<Token> {
        loop {
            if self.skip("\\\n") || self.skip("\\\r\n") {
                self.line += 1;
                continue;
            }
            match self.peek()? {
                ' ' | '\t' | '\r' => {
                    self.at += 1;
                }
                '#' => {
                    let rest = self.rest();
                    self.at += rest.find('\n').unwrap_or(rest.len());
                }
                '\n' => {
                    self.bump();
                    self.skip_here_documents();
                    return Some(Token::End);
                }
                ';' => {
                    self.at += 1;
                    if self.skip(";&") || self.skip(";") || self.skip("&") {
                        return Some(Token::CaseEnd);
                    }
                    return Some(Token::End);
                }
                '&' if self.rest().starts_with("&>") => {
                    self.at += 2;
                    self.skip(">");
                    self.redirected();
                }
                '&' | '|' => {
                    while self.skip("&") || self.skip("|") {}
                    return Some(Token::End);
                }
                '(' if self.rest().starts_with("((") && self.arithmetic() => {}
                '(' => {
                    self.at += 1;
                    return Some(Token::Open);
                }
                ')' => {
                    self.at += 1;
                    return Some(Token::Close);
                }
                '<' | '>' => self.redirection(),
                _ => {
                    let word = self.word();
                    // `2>file`: the number belongs to the redirection.
                    let descriptor = self.peek().is_some_and(|c| matches!(c, '<' | '>'))
                        && word.literal().is_some_and(|text| {
                            text.len() < 4 && text.bytes().all(|b| b.is_ascii_digit())
                        });
                    if !descriptor {
                        return Some(Token::Word(word));
                    }
                }
            }
        }
    }

    /// How long what begins at an offset is, up to its closing bracket.
    fn closing(&mut self, offset: usize, open: char, close: char) -> Option<usize> {
        if self.budget == 0 {
            self.given_up_at.get_or_insert(self.line);
            return None;
        }
        let text = &self.rest()[offset..];
        let found = closing(text, open, close);
        self.budget = self.budget.saturating_sub(found.unwrap_or(text.len()));
        found
    }

    /// Passes over `((…))`, if it is one.
    fn arithmetic(&mut self) -> bool {
        let Some(length) = self.closing(1, '(', ')') else {
            return false;
        };
        if !self.rest()[1 + length..].starts_with(')') {
            return false;
        }
        self.advance(length + 2);
        true
    }

    fn advance(&mut self, length: usize) {
        let passed = &self.text[self.at..self.at + length];
        self.line = self.line.saturating_add(count_lines(passed));
        self.at += length;
    }

    fn redirection(&mut self) {
        if self.skip("<<<") {
            return self.redirected();
        }
        if self.skip("<<") {
            let strips_tabs = self.skip("-");
            self.skip_blanks();
            let word = self.word();
            let delimiter = word.parts.iter().filter_map(|part| match part {
                Part::Text(text) | Part::Unknown(text) => Some(text.as_str()),
                _ => None,
            });
            if self.here.len() < 16 {
                self.here.push(Here {
                    delimiter: delimiter.collect(),
                    strips_tabs,
                });
            }
            return;
        }
        // A process substitution is a word, and runs something.
        if self.rest()[1..].starts_with('(') {
            self.at += 1;
            let _ = self.substitution();
            return;
        }
        self.at += 1;
        let _ = self.skip(">") || self.skip("|") || self.skip("&") || self.skip("<");
        self.redirected();
    }

    /// Passes over the target of a redirection.
    fn redirected(&mut self) {
        self.skip_blanks();
        if self.peek().is_some_and(|c| !is_meta(c)) {
            self.word();
        }
    }

    fn skip_blanks(&mut self) {
        while self.peek().is_some_and(|c| matches!(c, ' ' | '\t')) {
            self.at += 1;
        }
    }

    fn skip_here_documents(&mut self) {
        for here in std::mem::take(&mut self.here) {
            loop {
                let rest = self.rest();
                if rest.is_empty() {
                    return;
                }
                let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
                let line = rest[..end].trim_end_matches(['\n', '\r']);
                self.advance(end);
                let line = if here.strips_tabs {
                    line.trim_start_matches('\t')
                } else {
                    line
                };
                if line == here.delimiter {
                    break;
                }
            }
        }
    }

    /// Reads a word; empty where none begins.
    pub(super) fn word(&mut self) -> Word {
        let mut word = Word {
            parts: Vec::new(),
            offset: self.at,
            line: self.line,
        };
        let mut text = String::new();
        if let Some(after) = self.rest().strip_prefix('~')
            && after
                .chars()
                .next()
                .is_none_or(|c| c == '/' || c == ':' || is_meta(c))
        {
            self.at += 1;
            word.parts.push(Part::Home);
        }
        while let Some(c) = self.peek() {
            if is_meta(c) {
                break;
            }
            match c {
                '\\' => {
                    self.at += 1;
                    match self.bump() {
                        Some('\n') | None => {}
                        Some(c) => text.push(c),
                    }
                }
                '\'' => {
                    self.at += 1;
                    let rest = self.rest();
                    let end = rest.find('\'').unwrap_or(rest.len());
                    text.push_str(&rest[..end]);
                    self.advance(end);
                    self.skip("'");
                }
                '"' => {
                    self.at += 1;
                    self.double_quoted(&mut text, &mut word);
                }
                '$' if self.rest().starts_with("$'") => {
                    self.at += 2;
                    self.ansi_quoted(&mut text);
                }
                '$' if self.rest().starts_with("$\"") => {
                    self.at += 2;
                    self.double_quoted(&mut text, &mut word);
                }
                '$' => self.dollar(false, &mut text, &mut word),
                '`' => self.backticks(&mut text, &mut word),
                _ => {
                    self.bump();
                    text.push(c);
                    // `~` after the sign of an assignment.
                    if c == '=' && word.parts.is_empty() && self.rest().starts_with("~/") {
                        self.at += 1;
                        self.part(Part::Home, &mut text, &mut word);
                    }
                }
            }
        }
        if !text.is_empty() {
            word.parts.push(Part::Text(text));
        }
        word
    }

    fn part(&mut self, part: Part, text: &mut String, word: &mut Word) {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            self.given_up_at.get_or_insert(self.line);
            return;
        }
        if !text.is_empty() {
            word.parts.push(Part::Text(std::mem::take(text)));
        }
        word.parts.push(part);
    }

    fn double_quoted(&mut self, text: &mut String, word: &mut Word) {
        while let Some(c) = self.peek() {
            match c {
                '"' => {
                    self.at += 1;
                    return;
                }
                '\\' => {
                    self.at += 1;
                    match self.bump() {
                        Some(c @ ('$' | '`' | '"' | '\\')) => text.push(c),
                        Some('\n') | None => {}
                        Some(c) => text.extend(['\\', c]),
                    }
                }
                '$' => self.dollar(true, text, word),
                '`' => self.backticks(text, word),
                _ => {
                    self.bump();
                    text.push(c);
                }
            }
        }
    }

    fn ansi_quoted(&mut self, text: &mut String) {
        while let Some(c) = self.bump() {
            match c {
                '\'' => return,
                '\\' => match self.bump() {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('e') => text.push('\u{1b}'),
                    Some('x') => {
                        let code = self
                            .rest()
                            .get(..2)
                            .and_then(|code| u8::from_str_radix(code, 16).ok());
                        if let Some(code) = code.filter(u8::is_ascii) {
                            text.push(char::from(code));
                            self.at += 2;
                        }
                    }
                    Some(c) => text.push(c),
                    None => return,
                },
                c => text.push(c),
            }
        }
    }

    fn dollar(&mut self, quoted: bool, text: &mut String, word: &mut Word) {
        let after = &self.rest()[1..];
        if after.starts_with("((")
            && let Some(length) = self.closing(2, '(', ')')
            && after[1 + length..].starts_with(')')
        {
            self.advance(length + 3);
            return self.part(Part::Unknown("$((…))".into()), text, word);
        }
        match after.chars().next() {
            Some('(') => {
                self.at += 1;
                let shown = self.substitution();
                self.part(Part::Unknown(shown), text, word);
            }
            Some('{') => {
                let Some(length) = self.closing(1, '{', '}') else {
                    self.at += 1;
                    return text.push('$');
                };
                let line = self.line;
                let inner = &after[1..length - 1];
                self.advance(length + 1);
                let part = self.braced(inner, quoted, line);
                self.part(part, text, word);
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
                self.at += 1 + end;
                let part = variable(&after[..end], quoted, None);
                self.part(part, text, word);
            }
            Some(c) if c.is_ascii_digit() || "@*".contains(c) => {
                self.at += 2;
                let part = variable(&after[..1], quoted, None);
                self.part(part, text, word);
            }
            Some(c) if "?!#$-".contains(c) => {
                self.at += 2;
                self.part(Part::Unknown(format!("${c}")), text, word);
            }
            _ => {
                self.at += 1;
                text.push('$');
            }
        }
    }

    /// What stands in `${…}`.
    fn braced(&mut self, inner: &str, quoted: bool, line: u32) -> Part {
        let unknown = || {
            Part::Unknown(format!(
                "${{{}}}",
                inner
                    .chars()
                    .take_while(|c| is_name(*c))
                    .collect::<String>()
            ))
        };
        let end = match inner.chars().next() {
            Some(c) if "@*".contains(c) => 1,
            _ => inner.find(|c| !is_name(c)).unwrap_or(inner.len()),
        };
        let (name, operator) = inner.split_at(end);
        if name.is_empty() {
            return unknown();
        }
        match operator {
            "" => variable(name, quoted, None),
            "[@]" | "[*]" => Part::List {
                name: name.to_owned(),
                quoted,
            },
            _ => {
                let default = [":-", "-", ":=", "="]
                    .iter()
                    .find_map(|sign| operator.strip_prefix(sign));
                match default {
                    Some(default) if self.depth < DEEPEST => {
                        let mut lexer = Lexer::new(default, line, self.depth + 1);
                        let mut word = Word {
                            line,
                            ..Word::default()
                        };
                        let mut text = String::new();
                        // As within quotes, but quotes themselves go.
                        while !lexer.rest().is_empty() {
                            let next = lexer.word();
                            word.parts.extend(next.parts);
                            if let Some(c) = lexer.bump() {
                                text.push(c);
                                word.parts.push(Part::Text(std::mem::take(&mut text)));
                            }
                        }
                        self.parts += word.parts.len();
                        self.inner.append(&mut lexer.inner);
                        variable(name, quoted, Some(word))
                    }
                    // An error message, or what stands instead of a value: the value counts.
                    None if operator.starts_with('?') || operator.starts_with(":?") => {
                        variable(name, quoted, None)
                    }
                    _ => unknown(),
                }
            }
        }
    }

    /// Reads `( … )` as a script of its own, and returns what is shown for it.
    fn substitution(&mut self) -> String {
        let rest = self.rest();
        let length = self.closing(0, '(', ')').unwrap_or(rest.len());
        let inner = rest[..length].strip_prefix('(').unwrap_or("");
        let inner = inner.strip_suffix(')').unwrap_or(inner);
        self.script(inner);
        self.advance(length);
        "$(…)".into()
    }

    fn backticks(&mut self, text: &mut String, word: &mut Word) {
        let rest = &self.rest()[1..];
        let mut escaped = false;
        let end = rest.char_indices().find_map(|(at, c)| {
            let closes = c == '`' && !escaped;
            escaped = c == '\\' && !escaped;
            closes.then_some(at)
        });
        let length = end.unwrap_or(rest.len());
        self.script(&rest[..length]);
        self.advance((length + 2).min(rest.len() + 1));
        self.part(Part::Unknown("$(…)".into()), text, word);
    }

    fn script(&mut self, text: &str) {
        if self.depth >= DEEPEST || self.inner.len() > 1000 {
            self.given_up_at.get_or_insert(self.line);
            return;
        }
        let script = reader::read_from(text, self.line, self.depth + 1);
        self.given_up_at = self.given_up_at.or(script.given_up_at);
        self.inner.push(script);
    }
}

fn variable(name: &str, quoted: bool, default: Option<Word>) -> Part {
    Part::Variable {
        name: name.to_owned(),
        quoted,
        default,
    }
}

pub(super) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_meta(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>'
    )
}

fn count_lines(text: &str) -> u32 {
    u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX)
}

/// How long a text that begins with `open` is up to its `close`, quotes and escapes left aside.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0_usize;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (c, quote) {
            ('\\', None | Some('"')) => escaped = true,
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (c, None) if c == open => depth += 1,
            (c, None) if c == close => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + c.len_utf8());
                }
            }
            _ => {}
        }
    }
    None
}
