//! Ways to give a tool its key, each tried with the tool and asked about without it.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

use bascule_domain::Timestamp;
use bascule_tests::{Signers, tools, wait};
use bascule_watch::{Environment, Machine, Picture, Standing, Trail, command, tools as watch};

/// One way to give a tool its key: files of the home, variables, and arguments. `{at}` stands for
/// the server's address, `{home}` for the home.
pub(crate) struct Way<'w> {
    pub(crate) files: &'w [(&'w str, &'w str)],
    pub(crate) variables: &'w [(&'w str, &'w str)],
    pub(crate) arguments: &'w [&'w str],
    /// What the tool signs with.
    pub(crate) takes: Option<&'w str>,
}

pub(crate) const fn way<'w>(
    takes: &'w str,
    arguments: &'w [&'w str],
    files: &'w [(&'w str, &'w str)],
    variables: &'w [(&'w str, &'w str)],
) -> Way<'w> {
    Way {
        files,
        variables,
        arguments,
        takes: Some(takes),
    }
}

/// The same, where the tool signs with nothing.
pub(crate) const fn none<'w>(
    arguments: &'w [&'w str],
    files: &'w [(&'w str, &'w str)],
    variables: &'w [(&'w str, &'w str)],
) -> Way<'w> {
    Way {
        files,
        variables,
        arguments,
        takes: None,
    }
}

/// A tool as it is run here, and as a job names it.
pub(crate) struct Tool<'t> {
    /// What a command line calls it.
    name: &'t str,
    /// What is run here, before the arguments.
    run: Vec<OsString>,
    /// Only for the run here; they have nothing to do with keys.
    surroundings: Vec<(&'t str, OsString)>,
}

impl<'t> Tool<'t> {
    pub(crate) fn new(name: &'t str, program: &Path) -> Self {
        Self {
            name,
            run: vec![program.into()],
            surroundings: Vec::new(),
        }
    }

    /// A script of the tests' Python, which names an interpreter that was moved since.
    pub(crate) fn script(name: &'t str) -> Self {
        Self::new(name, &tools::get("python")).with(&[tools::get(name)])
    }

    /// Arguments that only the run here has, before the others.
    pub(crate) fn with(mut self, arguments: &[impl Into<OsString> + Clone]) -> Self {
        let arguments = arguments.iter().cloned();
        self.run.extend(arguments.map(Into::into));
        self
    }

    pub(crate) fn within(mut self, name: &'t str, value: impl Into<OsString>) -> Self {
        self.surroundings.push((name, value.into()));
        self
    }

    /// Runs the tool each way, and asks the watcher about the same command.
    pub(crate) fn check(&self, ways: &[Way<'_>]) {
        for (number, way) in ways.iter().enumerate() {
            self.one(number, way);
        }
    }

    fn one(&self, number: usize, way: &Way<'_>) {
        // One for each, so that a late request of the run before counts for nothing.
        let signer = Signers::start();
        let home = tempfile::tempdir().unwrap();
        let shown = home.path().display().to_string();
        let text = |text: &str| {
            text.replace("{at}", &signer.endpoint()[7..])
                .replace("{home}", &shown)
        };
        for (path, content) in way.files {
            let path = home.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text(content)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let arguments: Vec<String> = way.arguments.iter().map(|part| text(part)).collect();
        let mut variables = vec![
            ("HOME".to_owned(), shown.clone()),
            ("PATH".to_owned(), path_of_tools()),
            // No tool asks the cloud it might run in.
            ("AWS_EC2_METADATA_DISABLED".to_owned(), "true".to_owned()),
        ];
        let own = way.variables.iter();
        variables.extend(own.map(|(name, value)| ((*name).to_owned(), text(value))));

        let output = home.path().join("output");
        let mut child = Command::new(&self.run[0])
            .args(&self.run[1..])
            .args(&arguments)
            .env_clear()
            .envs(self.surroundings.iter().map(|(name, value)| (name, value)))
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&output).unwrap())
            .spawn()
            .unwrap();
        // What a refused tool tries next for minutes adds nothing.
        wait::until("the tool ends or signs", || {
            (signer.has_seen() || child.try_wait().unwrap().is_some()).then_some(())
        });
        let _ = child.kill();
        child.wait().unwrap();
        let signed = signer.take();
        let told = format!(
            "{} {number} {arguments:?} {:?}: {}",
            self.name,
            way.variables,
            fs::read_to_string(&output).unwrap()
        );
        assert_eq!(signed.first().map(String::as_str), way.takes, "{told}");
        assert!(signed.len() <= 1, "{signed:?} {told}");

        let mut environment = Environment::of(Some(home.path().into()), home.path().into());
        for (name, value) in variables {
            environment.set(name, value);
        }
        let machine = Machine::local(environment.clone(), 0, Timestamp::UNIX_EPOCH);
        let mut picture = Picture::default();
        let mut line = vec![self.name.to_owned()];
        line.extend(arguments);
        let command = command::Command {
            arguments: line,
            environment,
        };
        watch::uses(&command, &machine, &Trail::configuration(), &mut picture);
        assert_eq!(
            effective(&picture),
            Vec::from_iter(way.takes),
            "{told} {picture:?}"
        );
    }
}

/// The ids that a picture calls effective.
pub(crate) fn effective(picture: &Picture) -> Vec<&str> {
    let uses = picture.uses.iter();
    let counts = uses.filter(|found| found.standing == Standing::Effective);
    counts.map(|found| found.key.id.as_str()).collect()
}

/// Tools that run others find them.
fn path_of_tools() -> String {
    let mut folders: Vec<String> = ["rclone", "restic"]
        .iter()
        .filter_map(|name| tools::installed_path(name))
        .map(|path| path.parent().unwrap().display().to_string())
        .collect();
    folders.extend(["/usr/bin".to_owned(), "/bin".to_owned()]);
    folders.join(":")
}
