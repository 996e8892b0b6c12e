//! A program on a terminal of its own, and the person before it: reads what is shown and types
//! when asked. The terminal is a pseudo terminal of `script` (util-linux).

use std::{
    io::{Read, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::wait;

/// The terminal and the program on it, which ends with this value.
pub struct Terminal {
    script: Child,
    keyboard: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
    /// So much of what was shown has been read.
    read: usize,
}

impl Terminal {
    /// Starts a command on a terminal. `None`, with the reason printed, where there is no `script`.
    #[must_use]
    pub fn run(command: &Command) -> Option<Self> {
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let quoted: Vec<_> = words
            .map(|word| format!("'{}'", word.to_string_lossy().replace('\'', r"'\''")))
            .collect();
        let mut script = Command::new("script");
        script
            .args(["--quiet", "--return", "--flush", "--command"])
            .arg(quoted.join(" "))
            .arg("/dev/null")
            .env_clear()
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        for (name, value) in command.get_envs() {
            script.env(name, value.unwrap_or_default());
        }
        if let Some(folder) = command.get_current_dir() {
            script.current_dir(folder);
        }
        let mut script = match script.spawn() {
            Ok(script) => script,
            Err(error) => {
                eprintln!("skipped: a terminal needs script of util-linux: {error}");
                return None;
            }
        };
        let keyboard = script.stdin.take().expect("a pipe");
        let mut shown = script.stdout.take().expect("a pipe");
        let screen = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::clone(&screen);
        let reader = thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = shown.read(&mut piece) {
                let mut screen = writes.lock().unwrap_or_else(PoisonError::into_inner);
                screen.extend_from_slice(&piece[..length]);
            }
        });
        Some(Self {
            script,
            keyboard,
            screen,
            reader,
            read: 0,
        })
    }

    /// Everything that was shown so far, what was typed included where it is echoed.
    #[must_use]
    pub fn screen(&self) -> String {
        let screen = self.screen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&screen).into_owned()
    }

    /// Waits until a text is shown, behind those that were waited for before.
    pub fn shows(&mut self, text: &str) {
        self.read = wait::until(&format!("{text:?} on the terminal"), || {
            // Asked first: nothing is shown after it.
            let all = self.reader.is_finished();
            let screen = self.screen();
            let found = screen[self.read..].find(text);
            assert!(found.is_some() || !all, "{text:?} was not shown:\n{screen}");
            found.map(|at| self.read + at + text.len())
        });
    }

    /// Types a line.
    pub fn types(&mut self, line: &str) {
        writeln!(self.keyboard, "{line}")
            .and_then(|()| self.keyboard.flush())
            .expect("a terminal that is open");
    }

    /// Waits until the program has ended.
    pub fn ends(&mut self) -> ExitStatus {
        wait::until("the program on the terminal to end", || {
            self.script.try_wait().expect("a child that was started")
        })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = kill_process_group(Pid::from_child(&self.script), Signal::KILL);
        let _ = self.script.wait();
    }
}
