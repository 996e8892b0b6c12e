//! The demo: a story whose every step is really done and checked, on a daemon of its own. It must
//! never touch anything outside its temporary folder, and leaves nothing behind, also when a step
//! fails or the user interrupts.

mod s3;
mod stage;
mod story;

use std::time::Instant;

use serde::Serialize;

use crate::{
    error::{Error, Kind},
    exit::Exit,
    interruption::Interruption,
    output::{
        Output,
        text::{BAD, GOOD, HEAD, escape, styled},
    },
};
use stage::Stage;

/// One step that was done.
#[derive(Debug, Serialize)]
struct Step {
    step: String,
    ok: bool,
    /// What was seen, or what went wrong.
    detail: String,
}

#[derive(Serialize)]
struct Document<'a> {
    ok: bool,
    milliseconds: u64,
    steps: &'a [Step],
}

/// Tells the steps as they are done.
#[derive(Debug)]
struct Teller {
    output: Output,
    steps: Vec<Step>,
    broken: Option<Error>,
}

/// What one step came to: what was seen, or why it is not as it should be.
type Outcome<T> = Result<T, String>;

impl Teller {
    const fn new(output: Output) -> Self {
        Self {
            output,
            steps: Vec::new(),
            broken: None,
        }
    }

    /// Notes a step and hands on what it made. The detail of a success is made by `tell`.
    fn step<T>(
        &mut self,
        step: &str,
        outcome: Outcome<T>,
        tell: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        let (made, ok, detail) = match outcome {
            Ok(made) => {
                let detail = tell(&made);
                (Some(made), true, detail)
            }
            Err(why) => (None, false, why),
        };
        if !self.output.is_json() {
            let word = if ok {
                styled(GOOD, "ok    ")
            } else {
                styled(BAD, "FAILED")
            };
            let line = format!("  {word}  {:<34}  {}\n", escape(step), escape(&detail));
            if let Err(error) = self.output.raw(&line) {
                self.broken.get_or_insert(error);
            }
        }
        self.steps.push(Step {
            step: step.to_owned(),
            ok,
            detail,
        });
        made
    }

    fn all_well(&self) -> bool {
        self.steps.iter().all(|step| step.ok)
    }
}

/// Runs the demo.
pub(crate) async fn run(output: Output) -> Result<Exit, Error> {
    let began = Instant::now();
    let mut teller = Teller::new(output);
    if !output.is_json() {
        output.raw(&format!(
            "{}: a real daemon and real files, in a temporary folder\n",
            styled(HEAD, "Bascule demo")
        ))?;
    }
    // Before the folder is made, so that no signal ends the demo without clearing it.
    let mut interruption = Interruption::listen();
    let mut stage = Stage::set()?;
    let folder = stage.folder().to_path_buf();
    let finished = tokio::select! {
        finished = story::tell(&mut stage, &mut teller) => finished,
        () = interruption.asked() => {
            // How the daemon ended does not matter now: it may not have been up yet.
            let stopped = stage.clear().await;
            let left = check_gone(Ok(()), &folder).err();
            let message = match (left, stopped) {
                (Some(_), Err(why)) => format!("interrupted, and something is left: {why}"),
                (Some(why), Ok(())) => format!("interrupted, and {why}"),
                (None, _) => "interrupted; the demo's daemon is stopped and its folder removed".to_owned(),
            };
            return Err(Error::new(Kind::Interrupted, message));
        }
    };
    let log = if finished.is_none() {
        stage.log_end()
    } else {
        String::new()
    };
    let cleared = stage.clear().await;
    teller.step(
        "stop the daemon, leave nothing",
        check_gone(cleared, &folder),
        |()| "the folder is gone".to_owned(),
    );
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let ok = finished.is_some() && teller.all_well();
    if output.is_json() {
        output.document(&Document {
            ok,
            milliseconds,
            steps: &teller.steps,
        })?;
    } else if ok {
        output.raw(&format!(
            "{} in {:.1} s. Next: start the daemon with basculed, then: bascule connect --help\n",
            styled(GOOD, "All of it is true"),
            milliseconds as f64 / 1000.0
        ))?;
    }
    if let Some(error) = teller.broken {
        return Err(error);
    }
    if ok {
        return Ok(Exit::Ok);
    }
    let failed = teller.steps.iter().find(|step| !step.ok);
    let what = failed.map_or("it stopped", |step| step.step.as_str());
    let why = failed.map_or("", |step| step.detail.as_str());
    let mut message = format!("the demo failed at: {what}: {why}");
    if !log.is_empty() {
        message.push_str("; the daemon's last words: ");
        message.push_str(&log);
    }
    Err(Error::new(Kind::Failed, message))
}

fn check_gone(cleared: Outcome<()>, folder: &std::path::Path) -> Outcome<()> {
    cleared?;
    if folder.exists() {
        return Err(format!("{} is still there", folder.display()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_that_differs_spoils_the_whole() {
        let mut teller = Teller::new(Output::new(true));
        assert_eq!(teller.step("one", Ok(1), ToString::to_string), Some(1));
        assert!(teller.all_well());
        assert_eq!(
            teller.step("two", Err::<(), _>("no".into()), |()| String::new()),
            None
        );
        assert!(!teller.all_well());
        assert_eq!(teller.steps[1].detail, "no");
    }

    #[test]
    fn a_folder_that_stays_is_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_gone(Ok(()), dir.path()).is_err());
        assert!(check_gone(Ok(()), &dir.path().join("gone")).is_ok());
    }
}
