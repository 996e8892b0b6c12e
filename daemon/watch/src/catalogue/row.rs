//! A row of the table: what is known of one kind of consumer, as data.

use bascule_formats::{Pattern, Step, Structure, leaves, leaves::IniRules};

use super::BadRow;

/// What is known of one kind of consumer.
#[derive(Debug, Clone, Default)]
pub struct Row {
    /// What uses are put under, such as `mc`.
    pub id: String,
    /// Programs that read these configurations.
    pub tools: Vec<String>,
    /// Where the configurations lie, the first that counts before the others. `{home}`, `{config}`,
    /// `{data}` and `{here}` stand for folders of whoever runs the tool; `*` for a part of a name.
    pub paths: Vec<String>,
    /// Variables that name the configuration, or with a `/` behind the name its folder.
    pub path_env: Vec<String>,
    /// Options that name the configuration, likewise.
    pub path_flags: Vec<String>,
    /// Options that name an entry of it.
    pub name_flags: Vec<String>,
    /// How such files are called elsewhere.
    pub names: Vec<String>,
    /// Copies that the tool leaves behind.
    pub copies: Vec<String>,
    /// What makes a file that can't be looked into: it begins with this.
    pub opaque_if: Option<String>,
    /// What has to happen for a changed file to count.
    pub reload: Option<String>,
    /// What stands before what, for people.
    pub note: Option<String>,
    pub(super) reads: Reads,
    pub(super) format: Format,
    pub(super) keys: Vec<KeyRule>,
    pub(crate) variables: Vec<Pair>,
    pub(crate) flags: Vec<Pair>,
    pub(crate) precedence: Vec<Source>,
    pub(crate) sdk: Option<crate::aws::Sdk>,
    pub(super) resolver: Option<Resolver>,
    pub(super) expands: bool,
    pub(super) leftover: bool,
    pub(super) private: bool,
    pub(super) asks_on_macos: bool,
    pub(super) secret_elsewhere: Option<String>,
    /// Values that name files of variables beside the configuration.
    pub(super) env_files: Vec<Pattern>,
}

/// Which of several configurations count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Reads {
    /// The first that is there.
    #[default]
    First,
    /// All of them.
    Every,
}

/// How a file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text(Structure),
    /// As the end of the file's name says.
    ByName,
    DuckDb,
    /// It can't be looked into; the reason is the row's note.
    Opaque,
}

impl Default for Format {
    fn default() -> Self {
        Self::Text(Structure::Assignments)
    }
}

/// What code, not the table, looks into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resolver {
    /// Every file is an rclone configuration.
    Rclone,
    /// The usual files are looked at elsewhere; only copies are read by the table.
    Aws,
    /// Values of Kubernetes secrets.
    Kubernetes,
    /// An rclone configuration in a value.
    Kopia,
    /// A SQLite database.
    Duplicati,
}

/// Where a tool looks for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Flag,
    Variable,
    File,
    Aws,
}

/// The names of an id and its secret. `*` stands for a part of both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) id: String,
    pub(crate) secret: String,
}

/// How a value holds what is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Within {
    /// It is the value.
    #[default]
    Whole,
    /// `scheme://ID:SECRET@host`.
    Url,
    /// The same, percent-encoded.
    EncodedUrl,
    /// base64 of it.
    Base64,
    /// The value is the secret; its name is `scheme://ID@host`.
    NameUrl,
}

/// Where a key and what belongs to it stand in a file.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyRule {
    /// What an entry is called for people, such as `alias`.
    pub(super) entry: String,
    pub(super) id: Vec<Pattern>,
    pub(super) secret: Vec<Pattern>,
    pub(super) session: Vec<Pattern>,
    pub(super) endpoint: Vec<Pattern>,
    /// Whether an endpoint without a scheme speaks TLS; so it does if nothing is said.
    pub(super) tls: Vec<Pattern>,
    pub(super) region: Vec<Pattern>,
    pub(super) bucket: Vec<Pattern>,
    /// Variables that may hold the server, the first one that does counts: restic's repository, which holds
    /// the bucket too, or an endpoint.
    pub(super) servers: Vec<Pattern>,
    pub(super) name: Vec<Pattern>,
    /// The entry counts only if this is one of `when_is`.
    pub(super) when: Vec<Pattern>,
    pub(super) when_is: Vec<String>,
    /// … or begins with one of these.
    pub(super) when_begins: Vec<String>,
    pub(super) within: Within,
    pub(super) secret_within: Within,
}

/// A value of a row, with its place below the field.
struct Given {
    below: Vec<String>,
    value: String,
    line: u32,
}

/// Reads the rows of a table.
pub(super) fn parse(text: &str, file: &str) -> Result<Vec<Row>, BadRow> {
    let bad = |row: &str, field: &str, line: u32, why: String| BadRow {
        file: file.to_owned(),
        row: row.to_owned(),
        field: field.to_owned(),
        line,
        why,
    };
    let leaves = leaves(text, Structure::Toml)
        .map_err(|error| bad("", "", error.line, error.kind.to_string()))?;
    let mut common = Vec::new();
    // The fields of each row, in the order of the file.
    let mut rows: Vec<Vec<(String, Given)>> = Vec::new();
    for leaf in &leaves {
        let given = |below: &[Step<'_>]| Given {
            below: below.iter().map(text_of).collect(),
            value: leaf.value.to_string(),
            line: leaf.line,
        };
        match &leaf.path[..] {
            [
                Step::Name(kind),
                Step::Index(row),
                Step::Name(field),
                below @ ..,
            ] if kind == "row" => {
                let row = *row as usize;
                if rows.len() <= row {
                    rows.resize_with(row + 1, Vec::new);
                }
                rows[row].push((field.to_string(), given(below)));
            }
            [Step::Name(field), below @ ..] if field == "common" => common.push(given(below)),
            _ => {
                let field = leaf.path.first().map(text_of).unwrap_or_default();
                return Err(bad("", &field, leaf.line, "no such field".into()));
            }
        }
    }
    let common = pairs(&common).map_err(|(line, why)| bad("", "common", line, why))?;
    rows.into_iter()
        .map(|fields| {
            let id = fields.iter().find(|(field, _)| field == "id");
            let id = id.map_or_else(String::new, |(_, given)| given.value.clone());
            let line = fields.first().map_or(0, |(_, given)| given.line);
            row(fields, &common)
                .map_err(|(field, line, why)| bad(&id, &field, line, why))
                .and_then(|row| match row.id.is_empty() {
                    true => Err(bad("", "id", line, "is missing".into())),
                    false => Ok(row),
                })
        })
        .collect()
}

fn text_of(step: &Step<'_>) -> String {
    match step {
        Step::Name(name) => name.to_string(),
        Step::Index(index) => index.to_string(),
    }
}

type Wrong = (String, u32, String);

fn row(fields: Vec<(String, Given)>, common: &[Pair]) -> Result<Row, Wrong> {
    let mut row = Row::default();
    let mut rules = IniRules::default();
    let mut format = None;
    let mut in_file = false;
    let mut keys: Vec<(String, Given)> = Vec::new();
    let (mut variables, mut flags) = (Vec::new(), Vec::new());
    for (field, given) in fields {
        let value = given.value.clone();
        let line = given.line;
        let wrong = |why: &str| (field.clone(), line, why.to_owned());
        let truth = || match &*value {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(wrong("is neither true nor false")),
        };
        match &*field {
            "id" => row.id = value,
            "tools" => row.tools.push(value),
            "paths" => row.paths.push(path(value).map_err(|why| wrong(&why))?),
            "copies" => row.copies.push(path(value).map_err(|why| wrong(&why))?),
            "path_env" => row.path_env.push(value),
            "path_flags" => row.path_flags.push(value),
            "name_flags" => row.name_flags.push(value),
            "names" => row.names.push(value),
            "opaque_if" => row.opaque_if = Some(value),
            "reload" => row.reload = Some(value),
            "note" => row.note = Some(value),
            "env_files" => {
                let pattern = value.parse();
                row.env_files.push(pattern.map_err(
                    |why: bascule_formats::pattern::PatternError| wrong(&why.to_string()),
                )?);
            }
            "secret_elsewhere" => row.secret_elsewhere = Some(value),
            "expands" => row.expands = truth()?,
            "leftover" => row.leftover = truth()?,
            "private" => row.private = truth()?,
            "asks_on_macos" => row.asks_on_macos = truth()?,
            "no_sections" => rules.no_sections = truth()?,
            "colon" => rules.colon = truth()?,
            "quotes" => rules.quotes = kept(value),
            "comments" => rules.comments = kept(value),
            "common" => {
                if truth()? {
                    row.variables.extend_from_slice(common);
                }
            }
            "variables_in_file" => in_file = truth()?,
            "reads" => {
                row.reads = match &*value {
                    "first" => Reads::First,
                    "every" => Reads::Every,
                    _ => return Err(wrong("is neither first nor every")),
                }
            }
            "sdk" => {
                row.sdk = Some(match &*value {
                    "go" => crate::aws::Sdk::Go,
                    "minio" => crate::aws::Sdk::Minio,
                    "botocore" => crate::aws::Sdk::Botocore,
                    _ => return Err(wrong("is none of go, minio and botocore")),
                });
            }
            "resolver" => {
                row.resolver = Some(match &*value {
                    "rclone" => Resolver::Rclone,
                    "aws" => Resolver::Aws,
                    "kubernetes" => Resolver::Kubernetes,
                    "kopia" => Resolver::Kopia,
                    "duplicati" => Resolver::Duplicati,
                    _ => return Err(wrong("is no resolver")),
                });
            }
            "precedence" => row.precedence.push(match &*value {
                "flag" => Source::Flag,
                "variable" => Source::Variable,
                "file" => Source::File,
                "aws" => Source::Aws,
                _ => return Err(wrong("is none of flag, variable, file and aws")),
            }),
            "format" => format = Some((value, line)),
            "keys" => keys.push((field, given)),
            "variables" => variables.push(given),
            "flags" => flags.push(given),
            _ => return Err(wrong("no such field")),
        }
    }
    let variables = pairs(&variables).map_err(|(line, why)| ("variables".into(), line, why))?;
    row.variables.splice(0..0, variables);
    row.flags = pairs(&flags).map_err(|(line, why)| ("flags".into(), line, why))?;
    row.format = match format {
        Some((name, line)) => structure(&name, rules)
            .ok_or_else(|| ("format".to_owned(), line, "is no format".to_owned()))?,
        None => Format::default(),
    };
    if row.precedence.is_empty() {
        row.precedence = vec![Source::Flag, Source::Variable, Source::File];
    }
    row.keys = key_rules(keys)?;
    if in_file {
        for Pair { id, secret } in &row.variables {
            row.keys.push(of_variables(id, secret)?);
        }
    }
    Ok(row)
}

/// The table lives as long as the program; rows of users are a few more texts.
fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn path(text: String) -> Result<String, String> {
    const BEGINS: [&str; 5] = ["/", "{home}/", "{config}/", "{data}/", "{here}/"];
    if BEGINS.iter().any(|begins| text.starts_with(begins)) {
        Ok(text)
    } else {
        Err("begins neither with / nor with one of {home}, {config}, {data} and {here}".into())
    }
}

fn structure(name: &str, rules: IniRules) -> Option<Format> {
    Some(Format::Text(match name {
        "json" => Structure::Json,
        "yaml" => Structure::Yaml,
        "toml" => Structure::Toml,
        "braces" => Structure::Braces,
        "xml" => Structure::Xml,
        "hadoop" => Structure::Hadoop,
        "plist" => Structure::Plist,
        "properties" => Structure::Properties,
        "assignments" => Structure::Assignments,
        "php" => Structure::Php,
        "s3fs" => Structure::S3fsPasswords,
        "ini" => Structure::Ini(rules),
        "by-name" => return Some(Format::ByName),
        "duckdb" => return Some(Format::DuckDb),
        "opaque" => return Some(Format::Opaque),
        _ => return None,
    }))
}

/// `[["ID", "SECRET"], …]`.
fn pairs(given: &[Given]) -> Result<Vec<Pair>, (u32, String)> {
    let mut pairs: Vec<Pair> = Vec::new();
    for given in given {
        let line = given.line;
        match &given.below[..] {
            [_, at] if at == "0" => pairs.push(Pair {
                id: given.value.clone(),
                secret: String::new(),
            }),
            [_, at] if at == "1" && !pairs.is_empty() => {
                if let Some(last) = pairs.last_mut() {
                    last.secret.clone_from(&given.value);
                }
            }
            _ => return Err((line, "is no list of pairs".into())),
        }
    }
    Ok(pairs)
}

/// restic asks none of the others.
const SERVERS: [&str; 5] = [
    "RESTIC_REPOSITORY",
    "AWS_ENDPOINT_URL_S3",
    "AWS_ENDPOINT_URL",
    "S3_ENDPOINT_URL",
    "S3_ENDPOINT",
];

fn of_variables(id: &str, secret: &str) -> Result<KeyRule, Wrong> {
    let wrong = |why: bascule_formats::pattern::PatternError| {
        ("variables".to_owned(), 0, format!("{id}: {why}"))
    };
    let url = secret == "url";
    // Other tools' names have servers of their own.
    let any = ["AWS_", "S3_"].iter().any(|begins| id.starts_with(begins));
    let servers = SERVERS.iter().filter(|_| any);
    let servers = servers.map(|name| name.parse()).collect::<Result<_, _>>();
    Ok(KeyRule {
        entry: id.trim_end_matches('*').trim_end_matches('_').to_owned(),
        id: vec![id.parse().map_err(wrong)?],
        secret: match secret {
            "" | "url" => Vec::new(),
            secret => vec![secret.parse().map_err(wrong)?],
        },
        session: vec!["AWS_SESSION_TOKEN".parse().map_err(wrong)?],
        servers: servers.map_err(wrong)?,
        within: if url { Within::Url } else { Within::Whole },
        ..KeyRule::default()
    })
}

fn key_rules(given: Vec<(String, Given)>) -> Result<Vec<KeyRule>, Wrong> {
    let mut rules: Vec<KeyRule> = Vec::new();
    for (field, given) in given {
        let line = given.line;
        let wrong = |why: String| (format!("{field}.{}", given.below.join(".")), line, why);
        let [number, part, ..] = &given.below[..] else {
            return Err(wrong("is no list of tables".into()));
        };
        let number: usize = number.parse().unwrap_or_default();
        if rules.len() <= number {
            rules.resize_with(number + 1, KeyRule::default);
        }
        let rule = &mut rules[number];
        let within = || match &*given.value {
            "url" => Ok(Within::Url),
            "encoded-url" => Ok(Within::EncodedUrl),
            "base64" => Ok(Within::Base64),
            "name-url" => Ok(Within::NameUrl),
            _ => Err(wrong(
                "is none of url, encoded-url, base64 and name-url".into(),
            )),
        };
        let patterns = match &**part {
            "entry" => {
                rule.entry.clone_from(&given.value);
                continue;
            }
            "when_is" => {
                rule.when_is.push(given.value.clone());
                continue;
            }
            "when_begins" => {
                rule.when_begins.push(given.value.clone());
                continue;
            }
            "within" => {
                rule.within = within()?;
                continue;
            }
            "secret_within" => {
                rule.secret_within = within()?;
                continue;
            }
            "id" => &mut rule.id,
            "secret" => &mut rule.secret,
            "session" => &mut rule.session,
            "endpoint" => &mut rule.endpoint,
            "tls" => &mut rule.tls,
            "region" => &mut rule.region,
            "bucket" => &mut rule.bucket,
            "name" => &mut rule.name,
            "when" => &mut rule.when,
            _ => return Err(wrong("no such field".into())),
        };
        let pattern = given.value.parse();
        patterns.push(
            pattern.map_err(|why: bascule_formats::pattern::PatternError| {
                (
                    format!("{field}.{}", given.below.join(".")),
                    line,
                    why.to_string(),
                )
            })?,
        );
    }
    Ok(rules)
}

/// How a file is written, by the end of its name.
pub(super) fn by_name(path: &std::path::Path) -> Structure {
    match path.extension().and_then(|end| end.to_str()) {
        Some("json") => Structure::Json,
        Some("yaml" | "yml") => Structure::Yaml,
        Some("toml" | "conf") => Structure::Toml,
        Some("hcl" | "tf" | "tfvars") => Structure::Braces,
        Some("ini" | "cfg") => Structure::Ini(IniRules::default()),
        Some("properties") => Structure::Properties,
        _ => Structure::Assignments,
    }
}
