//! From tokens to commands, functions and loops. What opens and never closes ends with the script;
//! what closes without having been opened is passed over.

use super::{
    Assignment, Command, Node, Part, Script, Value, Word,
    lexer::{Lexer, Token, is_name},
};

/// Blocks within blocks.
const MOST_BLOCKS: usize = 64;
/// Commands of a script.
const MOST_COMMANDS: usize = 50_000;

/// Words that begin or end something where a command may begin. What follows is a command again.
const RESERVED: [&str; 11] = [
    "if", "then", "elif", "else", "fi", "while", "until", "do", "!", "time", "coproc",
];

pub(super) fn read(text: &str) -> Script {
    read_from(text, 1, 0)
}

pub(super) fn read_from(text: &str, line: u32, depth: usize) -> Script {
    let mut reader = Reader {
        lexer: Lexer::new(text, line, depth),
        blocks: vec![Block::new(Kind::Script)],
        peeked: None,
        commands: 0,
        pending: None,
    };
    reader.run();
    while reader.blocks.len() > 1 {
        reader.close_last();
    }
    Script {
        nodes: reader
            .blocks
            .pop()
            .map_or_else(Vec::new, |block| block.nodes),
        given_up_at: reader.lexer.given_up_at,
    }
}

enum Kind {
    Script,
    Group,
    Subshell,
    Loop,
    Case,
    For {
        name: String,
        words: Option<Vec<Word>>,
        line: u32,
    },
}

struct Block {
    kind: Kind,
    /// The function whose body this is.
    function: Option<String>,
    nodes: Vec<Node>,
    /// Of a case: whether a pattern comes next.
    pattern: bool,
}

impl Block {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            function: None,
            nodes: Vec::new(),
            pattern: false,
        }
    }
}

struct Reader<'a> {
    lexer: Lexer<'a>,
    /// Never empty: the first is the script.
    blocks: Vec<Block>,
    peeked: Option<Token>,
    commands: usize,
    /// A function whose body begins with the next block.
    pending: Option<String>,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Token> {
        self.peeked.take().or_else(|| self.lexer.next())
    }

    fn peek(&mut self) -> Option<&Token> {
        if self.peeked.is_none() {
            self.peeked = self.lexer.next();
        }
        self.peeked.as_ref()
    }

    fn run(&mut self) {
        while let Some(token) = self.next() {
            if self.commands > MOST_COMMANDS {
                self.lexer.given_up_at.get_or_insert(self.lexer.line());
                return;
            }
            let in_pattern = self.blocks.last().is_some_and(|block| block.pattern);
            match token {
                Token::End => {}
                Token::CaseEnd => {
                    let case = self
                        .blocks
                        .iter_mut()
                        .rev()
                        .find(|block| matches!(block.kind, Kind::Case));
                    if let Some(case) = case {
                        case.pattern = true;
                    }
                }
                Token::Word(word) if in_pattern => {
                    if word.literal() == Some("esac") {
                        self.close(|kind| matches!(kind, Kind::Case));
                    }
                }
                Token::Open if in_pattern => {}
                Token::Close if in_pattern => {
                    if let Some(block) = self.blocks.last_mut() {
                        block.pattern = false;
                    }
                }
                Token::Open => self.open(Kind::Subshell),
                Token::Close => self.close(|kind| matches!(kind, Kind::Subshell)),
                Token::Word(word) => self.statement(word),
            }
        }
    }

    fn open(&mut self, kind: Kind) {
        if self.blocks.len() >= MOST_BLOCKS {
            self.lexer.given_up_at.get_or_insert(self.lexer.line());
            return;
        }
        let mut block = Block::new(kind);
        block.pattern = matches!(block.kind, Kind::Case);
        block.function = self.pending.take();
        self.blocks.push(block);
    }

    /// Closes the innermost block of a kind, and those that were forgotten in it.
    fn close(&mut self, is: impl Fn(&Kind) -> bool) {
        let Some(at) = self.blocks.iter().rposition(|block| is(&block.kind)) else {
            return;
        };
        while self.blocks.len() > at.max(1) {
            self.close_last();
        }
    }

    fn close_last(&mut self) {
        let Some(block) = self.blocks.pop() else {
            return;
        };
        let nodes = block.nodes;
        let Some(around) = self.blocks.last_mut() else {
            return;
        };
        if let Some(name) = block.function {
            around.nodes.push(Node::Function { name, body: nodes });
            return;
        }
        match block.kind {
            Kind::Subshell => around.nodes.push(Node::Subshell(nodes)),
            Kind::For { name, words, line } => around.nodes.push(Node::For {
                name,
                words,
                line,
                body: nodes,
            }),
            Kind::Script | Kind::Group | Kind::Loop | Kind::Case => around.nodes.extend(nodes),
        }
    }

    fn push(&mut self, node: Node) {
        self.commands += 1;
        if let Some(block) = self.blocks.last_mut() {
            block.nodes.push(node);
        }
    }

    /// Scripts within words run before the command that these belong to.
    fn flush_inner(&mut self) {
        for script in std::mem::take(&mut self.lexer.inner) {
            if !script.nodes.is_empty() {
                self.push(Node::Subshell(script.nodes));
            }
        }
    }

    /// Reads what begins with a word where a command may begin.
    fn statement(&mut self, word: Word) {
        match word.literal().unwrap_or_default() {
            "do" => {
                // The body of a `for` was opened with its head.
                let opened = self.blocks.last().is_some_and(|block| {
                    matches!(block.kind, Kind::For { .. }) && block.nodes.is_empty()
                });
                if !opened {
                    self.open(Kind::Loop);
                }
            }
            "done" => self.close(|kind| matches!(kind, Kind::Loop | Kind::For { .. })),
            reserved if RESERVED.contains(&reserved) => {}
            "{" => self.open(Kind::Group),
            "}" => self.close(|kind| matches!(kind, Kind::Group)),
            "esac" => self.close(|kind| matches!(kind, Kind::Case)),
            "case" => {
                self.skip_to_in();
                self.open(Kind::Case);
            }
            "for" | "select" => self.head_of_for(),
            "function" => {
                if let Some(Token::Word(name)) = self.next() {
                    self.pending = name.literal().map(ToOwned::to_owned);
                    self.skip_empty_brackets();
                    self.body();
                }
            }
            _ => self.command(word),
        }
    }

    /// A function's body may be a command of any kind; where it is no block it stays unnamed.
    fn body(&mut self) {
        while let Some(Token::End) = self.peek() {
            self.next();
        }
        match self.peek() {
            Some(Token::Open) => {
                self.next();
                self.open(Kind::Subshell);
            }
            Some(Token::Word(word)) if word.literal() == Some("{") => {
                self.next();
                self.open(Kind::Group);
            }
            _ => self.pending = None,
        }
    }

    fn skip_empty_brackets(&mut self) {
        if let Some(Token::Open) = self.peek() {
            self.next();
            if let Some(Token::Close) = self.peek() {
                self.next();
            }
        }
    }

    fn skip_to_in(&mut self) {
        while let Some(token) = self.next() {
            if matches!(&token, Token::Word(word) if word.literal() == Some("in")) {
                break;
            }
        }
        self.flush_inner();
    }

    fn head_of_for(&mut self) {
        let line = self.lexer.line();
        let name = match self.peek() {
            Some(Token::Word(word)) => word.literal().map(ToOwned::to_owned),
            _ => None,
        };
        // `for ((…))` has been passed over by now.
        let Some(name) = name.filter(|name| is_variable(name)) else {
            return;
        };
        self.next();
        let mut words = None;
        let listed = matches!(self.peek(), Some(Token::Word(word)) if word.literal() == Some("in"));
        if listed {
            self.next();
            let mut list = Vec::new();
            while let Some(Token::Word(_)) = self.peek() {
                if let Some(Token::Word(word)) = self.next() {
                    list.push(word);
                }
            }
            words = Some(list);
        }
        self.flush_inner();
        self.open(Kind::For { name, words, line });
    }

    fn command(&mut self, first: Word) {
        let mut command = Command {
            line: first.line,
            ..Command::default()
        };
        let mut next = Some(first);
        while let Some(word) = next.take() {
            let builtin = command
                .words
                .first()
                .and_then(Word::literal)
                .is_some_and(|name| {
                    ["export", "declare", "typeset", "local", "readonly"].contains(&name)
                });
            match assignment(&word).filter(|_| command.words.is_empty() || builtin) {
                Some(mut assignment) => {
                    if is_empty(&assignment.value) && matches!(self.peek(), Some(Token::Open)) {
                        assignment.value = Value::List(self.list());
                    }
                    command.assignments.push(assignment);
                }
                None => command.words.push(word),
            }
            match self.peek() {
                Some(Token::Word(_)) => {
                    if let Some(Token::Word(word)) = self.next() {
                        next = Some(word);
                    }
                }
                // `name()`: a function.
                Some(Token::Open) if command.words.len() == 1 && command.assignments.is_empty() => {
                    let name = command.words[0].literal().map(ToOwned::to_owned);
                    self.next();
                    if let Some(Token::Close) = self.peek() {
                        self.next();
                        self.pending = name;
                        self.body();
                        return;
                    }
                    // Something of another shell; its brackets are a subshell's.
                    self.open(Kind::Subshell);
                }
                _ => {}
            }
        }
        self.flush_inner();
        self.push(Node::Command(command));
    }

    /// The words of a list, up to its bracket.
    fn list(&mut self) -> Vec<Word> {
        self.next();
        let mut words = Vec::new();
        while let Some(token) = self.next() {
            match token {
                Token::Word(word) => words.push(word),
                Token::Close => break,
                Token::Open | Token::End | Token::CaseEnd => {}
            }
        }
        words
    }
}

fn is_empty(value: &Value) -> bool {
    matches!(value, Value::Word(word) if word.parts.is_empty())
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_name)
}

/// Takes `NAME=value` apart.
fn assignment(word: &Word) -> Option<Assignment> {
    let Some(Part::Text(text)) = word.parts.first() else {
        return None;
    };
    let (name, value) = text.split_once('=')?;
    let (name, appends) = match name.strip_suffix('+') {
        Some(name) => (name, true),
        None => (name, false),
    };
    if !is_variable(name) {
        return None;
    }
    let mut parts = Vec::new();
    if !value.is_empty() {
        parts.push(Part::Text(value.to_owned()));
    }
    parts.extend_from_slice(&word.parts[1..]);
    Some(Assignment {
        name: name.to_owned(),
        appends,
        value: Value::Word(Word {
            parts,
            offset: word.offset,
            line: word.line,
        }),
        line: word.line,
    })
}
