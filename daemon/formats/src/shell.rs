//! A reader of shell scripts that finds which commands they run and which variables they set. It
//! follows the text, not the run: both branches of an `if` count, in their order.
//!
//! It is tolerant and small on purpose. A full parser refuses a whole script for one line of another
//! shell, and a recursive one can be made to run out of stack; here what is not understood is passed
//! over, nesting has a limit, and the time grows with the text.

mod lexer;
mod reader;
#[cfg(test)]
mod tests;

use std::fmt;

/// What a script does, in the order of its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Script {
    /// Its commands and definitions.
    pub nodes: Vec<Node>,
    /// Where some of it is nested too deeply, or too much, to be read.
    pub given_up_at: Option<u32>,
}

/// A part of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A simple command, or assignments by themselves.
    Command(Command),
    /// The definition of a function.
    Function {
        /// Its name.
        name: String,
        /// What it does when it is called.
        body: Vec<Node>,
    },
    /// A loop over words.
    For {
        /// The variable.
        name: String,
        /// Its values; `None`: the arguments of the script.
        words: Option<Vec<Word>>,
        /// The line of the variable.
        line: u32,
        /// What is repeated.
        body: Vec<Node>,
    },
    /// A part whose variables are its own: `( … )` and `$( … )`.
    Subshell(Vec<Node>),
}

/// A simple command.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Command {
    /// `NAME=value` before the program; for the shell itself where there is none.
    pub assignments: Vec<Assignment>,
    /// The program and its arguments.
    pub words: Vec<Word>,
    /// The line that it begins on, counted from 1.
    pub line: u32,
}

/// Commands may hold secrets.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("line", &self.line)
            .field("words", &self.words.len())
            .finish_non_exhaustive()
    }
}

/// `NAME=value`.
#[derive(Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The variable.
    pub name: String,
    /// `+=`.
    pub appends: bool,
    /// What it is set to.
    pub value: Value,
    /// Counted from 1.
    pub line: u32,
}

/// What a variable is set to.
#[derive(Clone, PartialEq, Eq)]
pub enum Value {
    /// One text.
    Word(Word),
    /// `( … )`: a list.
    List(Vec<Word>),
}

/// A word before anything in it is replaced.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Word {
    /// Its parts; none for an empty word in quotes.
    pub parts: Vec<Part>,
    /// Where it begins in the text of the script.
    pub offset: usize,
    /// Counted from 1.
    pub line: u32,
}

/// Words may hold secrets.
impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Word")
            .field("line", &self.line)
            .finish_non_exhaustive()
    }
}

/// A part of a word.
#[derive(Clone, PartialEq, Eq)]
pub enum Part {
    /// Text, without quotes and backslashes.
    Text(String),
    /// `~` at a word's beginning.
    Home,
    /// The value of a variable or of a positional parameter.
    Variable {
        /// Such as `HOME`, `1`, `@`.
        name: String,
        /// Whether it stands in double quotes, and so is not split.
        quoted: bool,
        /// `${X:-default}` and `${X-default}`.
        default: Option<Word>,
    },
    /// `${X[@]}`: all of a list, each a word by itself if `quoted`.
    List {
        /// The variable.
        name: String,
        /// Whether it stands in double quotes.
        quoted: bool,
    },
    /// What only a run would tell, as it is shown.
    Unknown(String),
}

impl Word {
    /// The text, if nothing in it has to be replaced.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match &*self.parts {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// Reads a script.
#[must_use]
pub fn parse(text: &str) -> Script {
    reader::read(text)
}

/// What the first line says that the script is run by, if it says so.
#[must_use]
pub fn interpreter(text: &str) -> Option<Vec<&str>> {
    let line = text.strip_prefix("#!")?.lines().next()?;
    let words: Vec<_> = line.split_ascii_whitespace().collect();
    (!words.is_empty()).then_some(words)
}
