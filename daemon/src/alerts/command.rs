//! A command of the user's that is told of each alert: JSON on standard input, no shell, hardly any
//! environment, one at a time, and never longer than half a minute.

use std::{ffi::OsString, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::Mutex,
};

use super::{alert::Alert, channel::Failure};

const LIMIT: Duration = Duration::from_secs(30);
/// For the last words of a program that has ended; what it left running may hold the pipe for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes of what it says that are kept.
const KEPT: u64 = 4_096;
/// All that it gets of the daemon's environment.
const ENVIRONMENT: [&str; 2] = ["PATH", "HOME"];

/// The command as the settings have it.
pub(super) struct Program {
    words: Vec<OsString>,
    machine: String,
    running: Mutex<()>,
}

impl Program {
    pub(super) fn new(words: Vec<String>, machine: String) -> Self {
        Self {
            words: words.into_iter().map(OsString::from).collect(),
            machine,
            running: Mutex::default(),
        }
    }

    /// The program; its arguments may hold a secret.
    pub(super) fn to(&self) -> String {
        let program = self.words.first().map(|word| word.display().to_string());
        program.unwrap_or_default()
    }

    pub(super) async fn run(&self, alert: &Alert) -> Result<(), Failure> {
        let _one_at_a_time = self.running.lock().await;
        let mut document = alert.document(&self.machine).to_string();
        document.push('\n');
        run(&self.words, document.as_bytes()).await
    }
}

/// Why a program can't be run, as far as its file tells. Blocks.
pub(super) fn unfit(program: &str) -> Option<String> {
    let may_run = |file: &Path| file.is_file() && bascule_os::may_execute(file);
    if program.starts_with('/') {
        return match std::fs::metadata(program) {
            Err(error) => Some(format!("{program} can't be run: {error}")),
            Ok(_) => (!may_run(Path::new(program))).then(|| {
                format!("{program} can't be run: it is no program that this user may execute")
            }),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let is_found = std::env::split_paths(&path).any(|folder| may_run(&folder.join(program)));
    (!is_found).then(|| format!("there is no program {program} on the daemon's PATH"))
}

/// A process group that ends with this value, until its leader was waited for.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            bascule_os::kill_group(leader);
        }
    }
}

/// Runs a command with something on standard input. What it prints goes to the log.
pub(super) async fn run(words: &[OsString], input: &[u8]) -> Result<(), Failure> {
    let (program, arguments) = words
        .split_first()
        .ok_or_else(|| failure("there is no command".to_owned()))?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(
            ENVIRONMENT
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = command
        .spawn()
        .map_err(|error| failure(format!("{} can't be started: {error}", program.display())))?;
    let group = Group(child.id());
    // When it is late, the group is killed with this value's end.
    let ended = tokio::time::timeout(LIMIT, attend(child, group, input)).await;
    let (status, said) = match ended {
        Ok(ended) => ended.map_err(|error| failure(format!("its end was not seen: {error}")))?,
        Err(_) => {
            let seconds = LIMIT.as_secs();
            return Err(failure(format!(
                "it ran for {seconds} seconds and was killed"
            )));
        }
    };
    let said = said.trim();
    if !said.is_empty() {
        tracing::info!(program = %program.display(), said, "the command for alerts said something");
    }
    if status.success() {
        return Ok(());
    }
    let first = said
        .lines()
        .next()
        .map_or_else(String::new, |line| format!(": {line}"));
    Err(failure(format!("it ended with {status}{first}")))
}

/// Feeds it, listens to it, and waits for its end.
async fn attend(
    mut child: Child,
    mut group: Group,
    input: &[u8],
) -> std::io::Result<(std::process::ExitStatus, String)> {
    let stdin = child.stdin.take();
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A program that does not want to read it closes the pipe.
            let _ = stdin.write_all(input).await;
        }
    };
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let status = {
        let mut feed = std::pin::pin!(feed);
        let mut listen = std::pin::pin!(async {
            tokio::join!(heard(stdout, &mut out), heard(stderr, &mut err));
        });
        let (mut fed, mut silent) = (false, false);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                () = &mut feed, if !fed => fed = true,
                () = &mut listen, if !silent => silent = true,
            }
        };
        // Its id may be another's from here on.
        group.0 = None;
        if !silent {
            let _ = tokio::time::timeout(LAST_WORDS, listen).await;
        }
        status
    };
    out.extend(err);
    Ok((status, String::from_utf8_lossy(&out).into_owned()))
}

/// Reads to the end and keeps the beginning.
async fn heard(pipe: Option<impl AsyncRead + Unpin>, said: &mut Vec<u8>) {
    let Some(mut pipe) = pipe else { return };
    // A pipe that breaks has nothing more to say.
    let _ = (&mut pipe).take(KEPT).read_to_end(said).await;
    let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
}

fn failure(why: String) -> Failure {
    Failure {
        why,
        next: "see command under [alerts], and try it: bascule alerts test".into(),
        again: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<OsString> {
        ["/bin/sh", "-c", script].map(OsString::from).into()
    }

    #[tokio::test]
    async fn it_gets_its_input_and_nearly_no_environment() {
        let script = r#"read line && test "$line" = hello && test "$(env | cut -d= -f1 | grep -v '^_$\|^PWD$\|^SHLVL$\|^OLDPWD$' | sort | tr '\n' ' ')" = "HOME PATH " || { env; exit 7; }"#;
        run(&sh(script), b"hello\n").await.unwrap();
    }

    #[tokio::test]
    async fn one_that_fails_says_why_and_floods_nothing() {
        let failure = run(&sh("echo no such phone >&2; exit 3"), b"")
            .await
            .unwrap_err();
        assert!(failure.why.contains("3: no such phone"), "{failure:?}");
        assert!(!failure.again);
        let flood = "i=0; while [ $i -lt 3000 ]; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; i=$((i+1)); done; exit 1";
        let failure = run(&sh(flood), b"").await.unwrap_err();
        assert!(failure.why.len() < 5_000);
        let missing = run(&[OsString::from("/nowhere/at-all")], b"").await;
        assert!(missing.unwrap_err().why.contains("can't be started"));
    }

    #[tokio::test]
    async fn one_that_reads_nothing_or_leaves_something_running_holds_nobody_up() {
        run(&sh("exit 0"), &vec![b'x'; 1 << 20]).await.unwrap();
        // The one left behind holds the pipes.
        run(&sh("sleep 5 & exit 0"), b"").await.unwrap();
    }

    #[tokio::test]
    async fn one_that_is_given_up_is_killed_with_all_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!(
            "sleep 600 & echo $! > {0}.new; mv {0}.new {0}; wait",
            file.display()
        );
        let words = sh(&script);
        let running = run(&words, b"");
        let begun = async {
            while !file.exists() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            _ = running => panic!("it ended by itself"),
            () = begun => {}
        }
        let pid: u32 = std::fs::read_to_string(&file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        while cfg!(target_os = "linux") && !gone() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
