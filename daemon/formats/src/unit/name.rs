//! Names of units: `prefix@instance.kind`, and how systemd escapes paths in them.

/// A unit's name, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitName<'a> {
    /// The whole name.
    pub full: &'a str,
    /// What stands before `@`, or before the kind.
    pub prefix: &'a str,
    /// What stands behind `@`: empty for a template, `None` for a unit that has none.
    pub instance: Option<&'a str>,
    /// Such as `service`.
    pub kind: &'a str,
}

impl<'a> UnitName<'a> {
    /// Takes a name apart; `None` for what systemd takes for no unit's name.
    #[must_use]
    pub fn parse(full: &'a str) -> Option<Self> {
        let (stem, kind) = full.rsplit_once('.')?;
        let fits = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        if full.len() > 255 || stem.is_empty() || kind.is_empty() || !full.bytes().all(fits) {
            return None;
        }
        let (prefix, instance) = match stem.split_once('@') {
            Some((prefix, instance)) => (prefix, Some(instance)),
            None => (stem, None),
        };
        (!prefix.is_empty()).then_some(Self {
            full,
            prefix,
            instance,
            kind,
        })
    }

    /// Whether it is a template, of which only instances run.
    #[must_use]
    pub fn is_template(&self) -> bool {
        self.instance == Some("")
    }

    /// The template of an instance.
    #[must_use]
    pub fn template(&self) -> Option<String> {
        let instance = self.instance?;
        (!instance.is_empty()).then(|| format!("{}@.{}", self.prefix, self.kind))
    }

    /// The names whose drop-ins count, without `.d`, the least specific first: `service`,
    /// `a-.service`, `a-b@.service`, `a-b@x.service`.
    #[must_use]
    pub fn drop_in_names(&self) -> Vec<String> {
        let mut names = vec![self.kind.to_owned()];
        let (dashed, rest) = match self.template() {
            Some(template) => (self.prefix, vec![template, self.full.to_owned()]),
            None => (self.prefix, vec![self.full.to_owned()]),
        };
        // More dashes than a person gives a name are left out.
        let dashes = dashed.char_indices().filter(|(at, c)| *c == '-' && *at > 0);
        for (at, _) in dashes.take(16) {
            if at + 1 < dashed.len() {
                names.push(format!("{}.{}", &dashed[..=at], self.kind));
            }
        }
        names.extend(rest);
        names
    }
}

/// What `systemd-escape` has made readable again: `-` is a slash, `\xNN` a byte.
#[must_use]
pub fn unescape(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .strip_prefix(b"x")
            .and_then(|code| std::str::from_utf8(code.get(..2)?).ok())
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match (first, code) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            (b'-', _) => {
                bytes.push(b'/');
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
