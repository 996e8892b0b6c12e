//! Jobs of launchd: property lists, as XML or binary (`launchd.plist(5)`).

use std::fmt;

use zeroize::Zeroizing;

use crate::{
    calendar::Calendar,
    ini::{ParseError, ParseErrorKind},
    leaves::{Leaf, Step, Structure, binary_plist, is_binary_plist, leaves},
};

/// More times than anybody sets.
const MOST_TIMES: usize = 256;

/// What a job's property list says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Job {
    /// The job's name.
    pub label: Option<Text>,
    /// The program, where it is told apart from the arguments.
    pub program: Option<Text>,
    /// The program's name and its arguments.
    pub arguments: Vec<Text>,
    /// Variables that are set for it, with their values.
    pub variables: Vec<(String, Text)>,
    /// Whom it runs as.
    pub user: Option<Text>,
    /// Where it runs.
    pub folder: Option<Text>,
    /// The folder that is `/` for it.
    pub root: Option<Text>,
    /// Whether it is not loaded by itself.
    pub disabled: bool,
    /// What starts it.
    pub starts: Vec<Start>,
}

/// A value and its line.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    /// The value.
    pub text: Zeroizing<String>,
    /// Counted from 1; of a binary list always 1.
    pub line: u32,
}

/// Values may be secrets.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}", self.line)
    }
}

/// What starts a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// It is started when it is loaded.
    Loaded,
    /// It is kept running, always or while something holds.
    Kept,
    /// Every so many seconds.
    Every(u64),
    /// At these times of the calendar; `None`: it can't be read.
    At(Option<Calendar>),
    /// A path changes.
    Changed(String),
    /// A folder is not empty.
    Filled(String),
    /// A volume is mounted.
    Mounted,
    /// Somebody connects to it or sends it a message.
    Asked,
}

/// The five fields of a time, as cron has them.
const FIELDS: [&str; 5] = ["Minute", "Hour", "Day", "Month", "Weekday"];

/// Reads a job.
pub fn parse(bytes: &[u8]) -> Result<Job, ParseError> {
    Ok(job(&read(bytes)?))
}

/// Which jobs launchd's own list switches off (`true`) or on, whatever they say themselves.
pub fn parse_switches(bytes: &[u8]) -> Result<Vec<(String, bool)>, ParseError> {
    let leaves = read(bytes)?;
    let switches = leaves.iter().filter_map(|leaf| match leaf.path.as_slice() {
        [Step::Name(label)] => Some((label.to_string(), &*leaf.value == "true")),
        _ => None,
    });
    Ok(switches.collect())
}

fn read(bytes: &[u8]) -> Result<Vec<Leaf<'_>>, ParseError> {
    if is_binary_plist(bytes) {
        return binary_plist(bytes);
    }
    let syntax = ParseError {
        line: 1,
        kind: ParseErrorKind::Syntax,
    };
    leaves(
        std::str::from_utf8(bytes).map_err(|_| syntax)?,
        Structure::Plist,
    )
}

fn job(leaves: &[Leaf<'_>]) -> Job {
    let mut job = Job::default();
    // Which time is being read, and its fields.
    let mut time: Option<(Option<u32>, [String; 5])> = None;
    for leaf in leaves {
        let Some((Step::Name(key), below)) = leaf.path.split_first() else {
            continue;
        };
        let text = || Text {
            text: Zeroizing::new(leaf.value.to_string()),
            line: leaf.line,
        };
        let yes = &*leaf.value == "true";
        match (&**key, below) {
            ("Label", []) => job.label = Some(text()),
            ("Program", []) => job.program = Some(text()),
            ("ProgramArguments", [Step::Index(_)]) => job.arguments.push(text()),
            ("EnvironmentVariables", [Step::Name(name)]) => {
                job.variables.push((name.to_string(), text()));
            }
            ("UserName", []) => job.user = Some(text()),
            ("WorkingDirectory", []) => job.folder = Some(text()),
            ("RootDirectory", []) => job.root = Some(text()),
            ("Disabled", []) => job.disabled = yes,
            ("RunAtLoad", []) if yes => job.start(Start::Loaded),
            ("KeepAlive", []) if yes => job.start(Start::Kept),
            ("KeepAlive", [_, ..]) => job.start(Start::Kept),
            ("StartOnMount", []) if yes => job.start(Start::Mounted),
            ("MachServices" | "Sockets", [_, ..]) => job.start(Start::Asked),
            ("StartInterval", []) => {
                if let Some(seconds) = leaf.value.trim().parse().ok().filter(|at| *at > 0) {
                    job.start(Start::Every(seconds));
                }
            }
            ("WatchPaths", [Step::Index(_)]) => job.start(Start::Changed(leaf.value.to_string())),
            ("QueueDirectories", [Step::Index(_)]) => {
                job.start(Start::Filled(leaf.value.to_string()));
            }
            ("StartCalendarInterval", [at @ .., Step::Name(field)]) => {
                let at = match at {
                    [Step::Index(at)] => Some(*at),
                    _ => None,
                };
                if time.as_ref().is_none_or(|(present, _)| *present != at) {
                    job.at(time.take());
                    time = Some((at, std::array::from_fn(|_| "*".to_owned())));
                }
                let field = FIELDS.iter().position(|name| name == field);
                if let (Some((_, fields)), Some(field)) = (&mut time, field) {
                    leaf.value.trim().clone_into(&mut fields[field]);
                }
            }
            _ => {}
        }
    }
    job.at(time);
    job
}

impl Job {
    fn start(&mut self, start: Start) {
        if !self.starts.contains(&start) && self.starts.len() < MOST_TIMES {
            self.starts.push(start);
        }
    }

    /// launchd's times are cron's: what is missing is any, and of day and weekday either fits.
    fn at(&mut self, time: Option<(Option<u32>, [String; 5])>) {
        if let Some((_, fields)) = time {
            let fields = fields.each_ref().map(String::as_str);
            self.start(Start::At(Calendar::cron(&fields).ok()));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AGENT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n\
        <key>Label</key>\n<string>org.example.backup</string>\n<key>ProgramArguments</key>\n<array>\n\
        <string>/usr/local/bin/restic</string>\n<string>backup</string>\n</array>\n\
        <key>EnvironmentVariables</key>\n<dict>\n<key>AWS_ACCESS_KEY_ID</key>\n<string>AKIA</string>\n</dict>\n\
        <key>StartCalendarInterval</key>\n<array>\n<dict><key>Hour</key><integer>4</integer></dict>\n\
        <dict><key>Weekday</key><integer>7</integer><key>Day</key><integer>1</integer></dict>\n\
        <dict><key>Hour</key><integer>99</integer></dict>\n</array>\n\
        <key>KeepAlive</key><dict><key>SuccessfulExit</key><false/></dict>\n\
        <key>RunAtLoad</key><false/>\n<key>WatchPaths</key><array><string>/srv</string></array>\n\
        <key>StartInterval</key><integer>300</integer>\n</dict>\n</plist>\n";

    #[test]
    fn a_job_says_what_runs_where_with_which_variables_and_when() {
        let job = parse(AGENT.as_bytes()).unwrap();
        assert_eq!(&*job.label.unwrap().text, "org.example.backup");
        let arguments: Vec<_> = job
            .arguments
            .iter()
            .map(|text| text.text.as_str())
            .collect();
        assert_eq!(arguments, ["/usr/local/bin/restic", "backup"]);
        let (name, value) = &job.variables[0];
        assert_eq!((name.as_str(), value.line), ("AWS_ACCESS_KEY_ID", 14));
        let at = |fields: &[&str; 5]| Start::At(Calendar::cron(fields).ok());
        assert_eq!(
            job.starts,
            [
                at(&["*", "4", "*", "*", "*"]),
                at(&["*", "*", "1", "*", "7"]),
                Start::Kept,
                Start::Changed("/srv".into()),
                Start::Every(300),
                Start::At(None),
            ]
        );
    }

    #[test]
    fn what_is_shown_of_a_job_holds_no_value() {
        let text = AGENT.replace("AKIA", "hunter2");
        assert!(!format!("{:?}", parse(text.as_bytes()).unwrap()).contains("hunter2"));
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), from in 0..900_usize, to in 0..900_usize) {
            let _ = parse(&bytes);
            let mut text = AGENT.as_bytes().to_vec();
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            text.splice(from.min(to)..to, bytes.clone());
            let _ = parse(&text);
            let mut binary = b"bplist00".to_vec();
            binary.extend(bytes);
            let _ = (parse(&binary), parse_switches(&binary));
        }
    }
}
