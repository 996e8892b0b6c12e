//! The words of a value: command lines of `ExecStart=` and assignments of `Environment=`. No shell is
//! involved: quotes, C escapes and `;` are systemd's own.

/// More words than anybody's command line has.
const MOST_WORDS: usize = 10_000;

/// A value that systemd refuses whole. Nothing of its content is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a quote is not closed or the value ends with a backslash, so systemd ignores it")]
pub struct Unclosed;

/// A word and where in the value it begins. Specifiers and variables are not replaced yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// Without quotes and escapes.
    pub text: String,
    /// A byte of the value.
    pub offset: usize,
}

/// One command of an `ExecStart=`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The program, without its prefixes, and its arguments. Never empty.
    pub words: Vec<Word>,
    /// `@`: what the program is told that it is called, instead of its path.
    pub argument_zero: Option<String>,
    /// `:`: variables are not replaced.
    pub verbatim: bool,
    /// `-`: its failure is none.
    pub may_fail: bool,
    /// `+` or `!`: it runs as the manager does, whatever `User=` says.
    pub privileged: bool,
    /// `|`: the user's shell runs it.
    pub shell: bool,
}

/// The words of a value such as `Environment=`.
pub fn words(value: &str) -> Result<Vec<Word>, Unclosed> {
    let mut reader = Reader { value, at: 0 };
    let mut words = Vec::new();
    while words.len() < MOST_WORDS
        && let Some(word) = reader.word()?
    {
        words.push(word);
    }
    Ok(words)
}

/// The commands of a value such as `ExecStart=`.
pub fn commands(value: &str) -> Result<Vec<Exec>, Unclosed> {
    let mut reader = Reader { value, at: 0 };
    let mut commands = Vec::new();
    let mut budget = MOST_WORDS;
    while budget > 0
        && let Some(first) = reader.word()?
    {
        budget -= 1;
        if first.text == ";" {
            continue;
        }
        let Some(mut exec) = begin(&first) else {
            continue;
        };
        if exec.argument_zero.is_some() {
            exec.argument_zero = reader.word()?.map(|word| word.text);
        }
        loop {
            reader.skip_blanks();
            let rest = reader.rest();
            if budget == 0 || rest.is_empty() {
                break;
            }
            budget -= 1;
            let alone = |rest: &str| rest.is_empty() || rest.starts_with(is_blank);
            if rest.strip_prefix(';').is_some_and(alone) {
                reader.at += 1;
                break;
            }
            if rest.strip_prefix("\\;").is_some_and(alone) {
                exec.words.push(Word {
                    text: ";".to_owned(),
                    offset: reader.at,
                });
                reader.at += 2;
                continue;
            }
            match reader.word()? {
                Some(word) => exec.words.push(word),
                None => break,
            }
        }
        commands.push(exec);
    }
    Ok(commands)
}

/// Reads the prefixes of a program.
fn begin(first: &Word) -> Option<Exec> {
    let program = first
        .text
        .trim_start_matches(['@', '-', ':', '+', '!', '|']);
    let prefixes = &first.text[..first.text.len() - program.len()];
    let word = Word {
        text: program.to_owned(),
        offset: first.offset,
    };
    (!program.is_empty()).then(|| Exec {
        words: vec![word],
        argument_zero: prefixes.contains('@').then(String::new),
        verbatim: prefixes.contains(':'),
        may_fail: prefixes.contains('-'),
        // `!!` only where the kernel can't do without.
        privileged: prefixes.contains('+') || prefixes.matches('!').count() == 1,
        shell: prefixes.contains('|'),
    })
}

/// What systemd makes of a word's variables: `${X}` within it, `$X` as a whole word, which is split,
/// and `$$`. `None` from `variable` is an unset one, which counts as empty.
#[must_use]
pub fn substituted<'v>(word: &str, variable: impl Fn(&str) -> Option<&'v str>) -> Vec<String> {
    if let Some(name) = word.strip_prefix('$')
        && is_variable(name)
    {
        let value = variable(name).unwrap_or_default();
        return match words(value) {
            Ok(words) => words.into_iter().map(|word| word.text).collect(),
            Err(Unclosed) => vec![value.to_owned()],
        };
    }
    let mut text = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let braced = after
            .strip_prefix('{')
            .and_then(|inner| inner.split_once('}'));
        if let Some(after) = after.strip_prefix('$') {
            text.push('$');
            rest = after;
        } else if let Some((name, after)) = braced
            && is_variable(name)
        {
            text.push_str(variable(name).unwrap_or_default());
            rest = after;
        } else {
            text.push('$');
            rest = after;
        }
    }
    text.push_str(rest);
    vec![text]
}

/// Whether this can be a variable's name.
#[must_use]
pub fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

struct Reader<'a> {
    value: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        &self.value[self.at..]
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start_matches(is_blank).len();
    }

    /// The next word; `None` at the end.
    fn word(&mut self) -> Result<Option<Word>, Unclosed> {
        self.skip_blanks();
        if self.rest().is_empty() {
            return Ok(None);
        }
        let offset = self.at;
        let mut bytes = Vec::new();
        let mut quote = None;
        let mut chars = self.rest().char_indices();
        let mut end = self.value.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => {
                    let rest = chars.as_str();
                    let used = escape(rest, &mut bytes).ok_or(Unclosed)?;
                    // What was used are whole characters.
                    let until = rest.len() - used;
                    while chars.as_str().len() > until {
                        chars.next();
                    }
                }
                c if quote == Some(c) => quote = None,
                '\'' | '"' if quote.is_none() => quote = Some(c),
                c if quote.is_none() && is_blank(c) => {
                    end = offset + at;
                    break;
                }
                c => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if quote.is_some() {
            return Err(Unclosed);
        }
        self.at = end;
        Ok(Some(Word {
            text: String::from_utf8_lossy(&bytes).into_owned(),
            offset,
        }))
    }
}

/// Adds what stands behind a backslash, and tells how many bytes it takes. An escape that is unknown
/// stays as written. `None` at the end of the value.
fn escape(rest: &str, bytes: &mut Vec<u8>) -> Option<usize> {
    let letter = rest.chars().next()?;
    let number = |digits: usize, radix: u32, from: usize| {
        let code = rest.get(from..from + digits)?;
        let all = code.chars().all(|c| c.is_digit(radix));
        u32::from_str_radix(code, radix).ok().filter(|_| all)
    };
    let simple = match letter {
        'a' => Some(7),
        'b' => Some(8),
        'f' => Some(12),
        'n' => Some(b'\n'),
        'r' => Some(b'\r'),
        't' => Some(b'\t'),
        'v' => Some(11),
        's' => Some(b' '),
        '\\' | '"' | '\'' => Some(letter as u8),
        _ => None,
    };
    if let Some(byte) = simple {
        bytes.push(byte);
        return Some(1);
    }
    let coded = match letter {
        'x' => number(2, 16, 1).map(|code| (code, 3, false)),
        'u' => number(4, 16, 1).map(|code| (code, 5, true)),
        'U' => number(8, 16, 1).map(|code| (code, 9, true)),
        '0'..='7' => number(3, 8, 0).map(|code| (code, 3, false)),
        _ => None,
    };
    match coded {
        Some((code, used, false)) if code > 0 && code < 256 => {
            bytes.push(u8::try_from(code).ok()?);
            Some(used)
        }
        Some((code, used, true)) if code > 0 && char::from_u32(code).is_some() => {
            let c = char::from_u32(code)?;
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            Some(used)
        }
        _ => {
            bytes.push(b'\\');
            bytes.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            Some(letter.len_utf8())
        }
    }
}
