//! Looks at everything a support person would ask for: each a line with what is so and, where it is not
//! well, the command that helps. It changes nothing, and what could not be looked at is a line of its own.

use std::{collections::BTreeSet, fmt::Display, path::Path, sync::Arc, time::Duration};

use bascule_adapters::ProbeFailure;
use bascule_domain::{SignedDuration, moment, root_key::KeptIn};
use bascule_store::{
    OpenError, Unfinished,
    ledger::{By, Cause, Query},
};
use futures_util::{StreamExt, stream};

use super::{
    App, blocking, findings::shell_word, registry::Entry, reload::sorted, root_key::words,
};
use crate::listeners::Address;

/// How long a provider may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Providers that are asked at the same time.
const AT_ONCE: usize = 16;
/// The ledger's gaps of so many days are told.
const DAYS: i64 = 30;
/// With less room than this a store soon fails.
const TOO_LITTLE: u64 = 64 << 20;
/// With less than this it is worth a word.
const LITTLE: u64 = 1 << 30;
/// Exposed files that are named.
const NAMED: usize = 8;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Ok,
    Warning,
    Problem,
    NotChecked,
}

/// One line.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// What was looked at, for programs.
    pub area: &'static str,
    pub standing: Standing,
    pub told: String,
    pub remedy: Option<String>,
}

impl Check {
    fn new(area: &'static str, standing: Standing, told: impl Into<String>) -> Self {
        Self {
            area,
            standing,
            told: told.into(),
            remedy: None,
        }
    }

    fn ok(area: &'static str, told: impl Into<String>) -> Self {
        Self::new(area, Standing::Ok, told)
    }

    fn warning(area: &'static str, told: impl Into<String>) -> Self {
        Self::new(area, Standing::Warning, told)
    }

    fn problem(area: &'static str, told: impl Into<String>) -> Self {
        Self::new(area, Standing::Problem, told)
    }

    fn not_checked(area: &'static str, told: impl Into<String>) -> Self {
        Self::new(area, Standing::NotChecked, told)
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

impl App {
    /// Looks at everything; at providers only unless it is to stay offline.
    pub(crate) async fn examine(self: &Arc<Self>, offline: bool) -> Vec<Check> {
        let (providers, config, ledger, here) = tokio::join!(
            async {
                match offline {
                    true => Vec::new(),
                    false => self.provider_checks().await,
                }
            },
            self.configuration(),
            self.ledger_check(),
            self.machine(),
        );
        let mut checks = vec![config];
        checks.extend(here);
        checks.push(ledger);
        checks.push(self.clock_check());
        checks.extend(self.admission());
        checks.extend(providers);
        checks.extend(self.watcher());
        checks.extend(self.alert_checks());
        checks.extend(self.pending());
        checks
    }

    async fn configuration(self: &Arc<Self>) -> Check {
        const AREA: &str = "config";
        let now = self.config();
        let file = match &now.file {
            Some(file) if file.exists() => file.display().to_string(),
            Some(file) => format!("no file {}, so everything is by default", file.display()),
            None => "no file, so everything is by default".to_owned(),
        };
        match self.read_config().await {
            Err(mistakes) => {
                let told = format!(
                    "mistakes in the configuration, so the daemon would not start again: {}",
                    mistakes.join("; ")
                );
                Check::problem(AREA, told).remedy("basculed check-config")
            }
            Ok(new) => match sorted(&now, &new) {
                (at_once, later) if at_once.is_empty() && later.is_empty() => {
                    Check::ok(AREA, format!("valid: {file}"))
                }
                (at_once, later) if at_once.is_empty() => {
                    let told = format!("changed, in force after a restart: {}", later.join(", "));
                    Check::warning(AREA, told).remedy("restart the daemon: basculed")
                }
                (at_once, _) => {
                    let told = format!("changed, not read yet: {}", at_once.join(", "));
                    Check::warning(AREA, told).remedy("bascule reload")
                }
            },
        }
    }

    /// What is about this machine: files, room, ports, memory.
    async fn machine(self: &Arc<Self>) -> Vec<Check> {
        let app = Arc::clone(self);
        blocking(move || {
            let mut checks = vec![app.root_key_check()];
            checks.extend(exposed(&app.state_dir));
            checks.push(app.store_check());
            checks.push(room(&app.state_dir));
            checks.extend(app.gateways.iter().map(|address| port(*address)));
            checks.push(memory());
            checks
        })
        .await
    }

    fn root_key_check(&self) -> Check {
        const AREA: &str = "root-key";
        let at = match self.store.root_key_whereabouts() {
            Ok(at) => at,
            Err(error) => {
                let check = Check::problem(AREA, words(&error));
                return match &error {
                    // It only says where else the key would be.
                    OpenError::PlaceDamaged { path }
                        if self.state_dir.join("root.key").exists() =>
                    {
                        check.remedy(format!("rm {}", shell_word(&path.to_string_lossy())))
                    }
                    _ => check.remedy(format!(
                        "put the file back from a copy of {}, before the daemon is stopped",
                        self.state_dir.display()
                    )),
                };
            }
        };
        if let Some(unfinished) = at.unfinished {
            let (told, to) = match unfinished {
                Unfinished::To(to) => (format!("is still in its file, on its way to the {to}"), to),
                Unfinished::From(from) => (
                    format!("is still to be removed from the {from}"),
                    KeptIn::File,
                ),
            };
            let (Unfinished::To(place) | Unfinished::From(place)) = unfinished;
            return Check::warning(AREA, told).remedy(self.move_root_key_command(to, place));
        }
        if let Some(copy) = at.copy {
            let told = format!(
                "opens the store from the {}, and there is a copy that nobody needs: {copy}",
                at.kept_in
            );
            let remedy = match at.kept_in {
                // A move there is refused as long as the file is there as well.
                KeptIn::Credential => format!(
                    "{}, then: {}",
                    self.move_root_key_command(KeptIn::File, at.kept_in),
                    self.move_root_key_command(at.kept_in, at.kept_in)
                ),
                kept_in => self.move_root_key_command(kept_in, copy),
            };
            return Check::warning(AREA, told).remedy(remedy);
        }
        if let Some(left_in) = at.left_in {
            let told = format!(
                "opens the store from the {}, and may still be in the {left_in}, which could not be reached when it left",
                at.kept_in
            );
            return Check::warning(AREA, told)
                .remedy(self.move_root_key_command(KeptIn::File, left_in));
        }
        match at.kept_in {
            KeptIn::Keychain => {
                return Check::ok(AREA, "opened the store; it is kept in the keychain");
            }
            KeptIn::Credential => {
                return Check::ok(
                    AREA,
                    "opened the store; it is a credential of the service manager",
                );
            }
            KeptIn::File => {}
        }
        let path = at.file;
        match std::fs::symlink_metadata(&path) {
            Ok(_) => Check::ok(AREA, format!("opens the store; it is {}", path.display())),
            // The store is open, so there was one.
            Err(error) => Check::problem(
                AREA,
                format!("{} can't be seen any more ({error}): after a restart nothing can be opened", path.display()),
            )
            .remedy(format!(
                "put it back from a copy of that folder, before the daemon is stopped; or stop it, move {} away, and: bascule restore FILE --passphrase-stdin < PASSPHRASE",
                self.state_dir.display()
            )),
        }
    }

    /// What the machine's service is lent is root's to put and take away.
    fn move_root_key_command(&self, to: KeptIn, place: KeptIn) -> String {
        let system = self
            .state_dir
            .starts_with(bascule_proto::location::SYSTEM_STATE);
        match system && [to, place].contains(&KeptIn::Credential) {
            true => format!("sudo bascule root-key move {to} --system"),
            false => format!("bascule root-key move {to}"),
        }
    }

    fn store_check(&self) -> Check {
        const AREA: &str = "store";
        if let Some(told) = self.store_words() {
            return Check::problem(AREA, told).remedy("restart the daemon: basculed");
        }
        let size = |name: &str| {
            let metadata = std::fs::metadata(self.state_dir.join(name));
            metadata.map_or(0, |metadata| metadata.len())
        };
        let told = format!(
            "open: {}, ledger {}; {} connections, {} living and {} dead keys",
            bytes(size("store.redb")),
            bytes(size("ledger.sqlite") + size("ledger.sqlite-wal")),
            self.registry.living().len(),
            self.registry.count_all_keys(),
            self.graves.count(),
        );
        Check::ok(AREA, told)
    }

    async fn ledger_check(&self) -> Check {
        const AREA: &str = "ledger";
        if self.ledger.is_none() {
            let told = "uses are not recorded, so nobody can tell who would miss a key";
            return Check::warning(AREA, told)
                .remedy("set enabled = true under [usage], and restart the daemon");
        }
        let to = self.clock.now();
        let from = to.saturating_sub(SignedDuration::from_hours(24 * DAYS));
        let query = Query {
            keys: Vec::new(),
            from: from.unwrap_or(to),
            to,
            by: By::Key,
            cells: 1,
        };
        match self.recorded(move |ledger| ledger.report(query)).await {
            Err(error) => Check::problem(AREA, error.message)
                .remedy("restart the daemon, which moves a damaged ledger aside: basculed"),
            Ok(report) => {
                let gaps = report.gaps.into_iter();
                let gaps: Vec<_> = gaps.filter(|gap| gap.cause != Cause::NotBegun).collect();
                let causes: BTreeSet<_> = gaps.iter().map(|gap| gap.cause.as_str()).collect();
                match gaps.as_slice() {
                    [] => Check::ok(AREA, format!("records uses, without a gap in {DAYS} days")),
                    gaps => {
                        let causes: Vec<_> = causes.into_iter().collect();
                        let told = format!(
                            "{} of the last {DAYS} days in which uses may be missing ({})",
                            many(gaps.len(), "period"),
                            causes.join(", ")
                        );
                        Check::warning(AREA, told).remedy("bascule usage --since 30d")
                    }
                }
            }
        }
    }

    fn clock_check(&self) -> Check {
        const AREA: &str = "clock";
        match self.clock.moment().jump_since(&self.started) {
            Some(jump) if !jump.is_zero() => {
                let way = if jump.is_negative() {
                    "back"
                } else {
                    "forward"
                };
                let told = format!(
                    "the wall clock was set {way} by {} since the daemon started",
                    moment::span(jump.abs())
                );
                Check::warning(AREA, told).remedy("timedatectl set-ntp true")
            }
            _ => Check::ok(
                AREA,
                format!("wall and boot clock agree; it is {}", self.clock.now()),
            ),
        }
    }

    /// Whether anything is admitted at all.
    fn admission(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        match self.closed_words() {
            Some(told) => checks.push(Check::problem("anchor", told)),
            None => match self.anchor_words() {
                Some(told) => checks.push(
                    Check::warning("anchor", told)
                        .remedy("set anchor_dir to a folder that is not restored with the state"),
                ),
                None if self.config().anchor_dir.is_none() => checks.push(
                    Check::warning("anchor", "there is no place for it, so a state folder put back from outside is not noticed")
                        .remedy("set anchor_dir, and restart the daemon"),
                ),
                None => checks.push(Check::ok("anchor", "held: the state folder is the newest")),
            },
        }
        checks
    }

    /// Every connection's provider, asked at the same time.
    async fn provider_checks(&self) -> Vec<Check> {
        let living = self.registry.living();
        if living.is_empty() {
            return vec![Check::ok(
                "providers",
                "no connection yet; add one: bascule connect",
            )];
        }
        let asked = stream::iter(living).map(|entry| async move { self.provider(&entry).await });
        asked.buffered(AT_ONCE).collect().await
    }

    async fn provider(&self, entry: &Entry) -> Check {
        const AREA: &str = "provider";
        let name = &entry.connection.name;
        let storage = match self.storage(entry) {
            Ok(storage) => storage,
            Err(why) => {
                return Check::problem(AREA, format!("{name}: {why}"))
                    .remedy(format!("bascule show {name}"));
            }
        };
        let began = std::time::Instant::now();
        let asked = storage.probe(&entry.credentials, &entry.connection.buckets);
        let Ok(answer) = tokio::time::timeout(PATIENCE, asked).await else {
            let told = format!("{name}: no answer within {} s", PATIENCE.as_secs());
            return Check::problem(AREA, told).remedy(format!("bascule ls {name}"));
        };
        let took = began.elapsed().as_millis();
        match answer {
            Err(failure) => Check::problem(AREA, format!("{name}: {}", chain(&failure)))
                .remedy(remedy_of(&failure, name)),
            Ok(probe) => match (probe.clock_ahead, self.view(entry).trouble) {
                (Some(ahead), _) => {
                    let side = if ahead.is_negative() {
                        "behind"
                    } else {
                        "ahead of"
                    };
                    let told = format!(
                        "{name}: answers, but this machine's clock is {} {side} the provider's",
                        moment::span(ahead.abs())
                    );
                    Check::warning(AREA, told).remedy("timedatectl set-ntp true")
                }
                // It answers us now; requests before had trouble.
                (None, Some(trouble)) => Check::warning(AREA, format!("{name}: {trouble}"))
                    .remedy(format!("bascule show {name}")),
                (None, None) => {
                    let buckets = many(probe.buckets.len(), "bucket");
                    Check::ok(AREA, format!("{name}: {buckets} answered in {took} ms"))
                }
            },
        }
    }

    fn watcher(&self) -> Vec<Check> {
        const AREA: &str = "watcher";
        let mut checks: Vec<_> = self
            .consumers
            .troubles()
            .into_iter()
            .map(|told| Check::warning(AREA, told).remedy("bascule findings --look"))
            .collect();
        let seen = match self.consumers.looked_at() {
            None => "the first look at this machine is not done yet".to_owned(),
            Some(at) => {
                let ago = moment::span(self.clock.now().duration_since(at));
                let not_checked = self.consumers.not_checked().len();
                format!(
                    "looked {ago} ago, {} not looked at (bascule findings)",
                    many(not_checked, "place")
                )
            }
        };
        checks.push(Check::ok(AREA, seen));
        if let Some(watches) = bascule_os::watches() {
            let told = format!("{} of {} watches used", watches.used, watches.allowed);
            // Others of this user share the limit.
            let check = match watches.used.saturating_mul(10) > watches.allowed.saturating_mul(9) {
                true => Check::warning(AREA, told).remedy(format!(
                    "sysctl fs.inotify.max_user_watches={}",
                    watches.allowed.saturating_mul(2)
                )),
                false => Check::ok(AREA, told),
            };
            checks.push(check);
        }
        let sweep = self.sweep_view();
        let told = match (&sweep.running, &sweep.last) {
            (Some(_), _) => "a full sweep is under way".to_owned(),
            (None, Some(_)) => "the last full sweep is done; see bascule status".to_owned(),
            (None, None) => format!(
                "no full sweep yet ({}); one is due when a key has died",
                sweep.schedule.as_str()
            ),
        };
        checks.push(Check::ok("sweep", told));
        let findings = self.knocks.count() + self.consumers.count();
        checks.push(match findings {
            0 => Check::ok("findings", "nothing uses a key that does not work"),
            some => Check::warning(
                "findings",
                format!(
                    "{}: keys that do not work and are used",
                    many(some, "finding")
                ),
            )
            .remedy("bascule findings"),
        });
        checks
    }

    fn alert_checks(&self) -> Vec<Check> {
        const AREA: &str = "alerts";
        let failing = self.alerts.troubles();
        if failing.is_empty() {
            let states = self.alerts.states();
            let on: Vec<_> = states
                .iter()
                .filter(|state| state.off.is_none())
                .map(|state| state.channel)
                .collect();
            return vec![Check::ok(AREA, format!("in force: {}", on.join(", ")))];
        }
        let failing = failing.into_iter();
        failing
            .map(|told| Check::problem(AREA, told).remedy("bascule alerts test"))
            .collect()
    }

    /// What waits for somebody or something.
    fn pending(&self) -> Vec<Check> {
        let mut checks = Vec::new();
        let all = self.deletions.all();
        let under_way: Vec<_> = all.iter().filter(|d| !d.phase.is_over()).collect();
        for deletion in &under_way {
            let id = deletion.id;
            checks.push(match &deletion.parked {
                Some(parked) => Check::warning(
                    "deletions",
                    format!("deletion {id} waits: {}", parked.reason),
                )
                .remedy(format!("bascule deletion show {id}")),
                None => Check::ok("deletions", format!("deletion {id} is under way")),
            });
        }
        if under_way.is_empty() {
            checks.push(Check::ok("deletions", "none under way"));
        }
        let parked = self.parked_rotations();
        if parked.is_empty() {
            checks.push(Check::ok("rotations", "none parked"));
        }
        checks.extend(
            parked
                .into_iter()
                .map(|told| Check::warning("rotations", told)),
        );
        checks.extend(
            self.open_leaks()
                .into_iter()
                .map(|told| Check::problem("leaks", told)),
        );
        for entry in self.registry.living() {
            if entry.connection.paused_at.is_some() {
                let name = &entry.connection.name;
                checks.push(
                    Check::warning("paused", format!("{name} is paused and admits nothing"))
                        .remedy(format!("bascule resume {name}")),
                );
            }
        }
        checks
    }
}

/// What in the state folder others can reach.
fn exposed(folder: &Path) -> Vec<Check> {
    const AREA: &str = "files";
    let found = match bascule_os::exposures(folder) {
        Ok(found) => found,
        Err(error) => {
            return vec![Check::not_checked(
                AREA,
                format!("{}: {error}", folder.display()),
            )];
        }
    };
    if found.is_empty() {
        let told = format!("only this user can reach what is in {}", folder.display());
        return vec![Check::ok(AREA, told)];
    }
    let more = found.len().saturating_sub(NAMED);
    let mut checks: Vec<_> = found.iter().take(NAMED).map(exposure).collect();
    if more > 0 {
        checks.push(
            Check::problem(AREA, format!("{more} more in {}", folder.display()))
                .remedy(format!("chmod -R go= {}", quoted(folder))),
        );
    }
    checks
}

fn exposure(found: &bascule_os::Exposure) -> Check {
    const AREA: &str = "files";
    let (path, place) = (found.path.display(), quoted(&found.path));
    if found.is_link {
        return Check::problem(AREA, format!("{path} is a link, which Bascule never makes"))
            .remedy(format!("ls -l {place}"));
    }
    if found.is_foreign() {
        return Check::problem(AREA, format!("{path} belongs to user {}", found.owner)).remedy(
            format!("sudo chown {} {place}", bascule_os::effective_uid()),
        );
    }
    let told = format!(
        "{path} has mode {:04o}: others than this user can reach it",
        found.mode
    );
    Check::problem(AREA, told).remedy(format!("chmod go= {place}"))
}

fn room(folder: &Path) -> Check {
    const AREA: &str = "space";
    match bascule_os::space(folder) {
        Err(error) => Check::not_checked(AREA, format!("{}: {error}", folder.display())),
        Ok(space) => {
            let told = format!(
                "{} of {} free for {}",
                bytes(space.free),
                bytes(space.whole),
                folder.display()
            );
            let remedy = format!("df -h {}", quoted(folder));
            match space.free {
                free if free < TOO_LITTLE => Check::problem(AREA, told).remedy(remedy),
                free if free < LITTLE => Check::warning(AREA, told).remedy(remedy),
                _ => Check::ok(AREA, told),
            }
        }
    }
}

/// Whether it is us who listen there.
fn port(address: Address) -> Check {
    const AREA: &str = "gateway";
    let socket = address.socket;
    if !(socket.ip().is_loopback() || socket.ip().is_unspecified()) {
        return Check::ok(AREA, format!("listens on {address}, beyond this machine"));
    }
    match bascule_os::port_holder(socket.port()) {
        Some(holder) if holder.pid.is_none_or(|pid| pid == std::process::id()) => {
            Check::ok(AREA, format!("listens on {address}"))
        }
        Some(holder) => {
            let who = holder
                .command
                .unwrap_or_else(|| "another process".to_owned());
            let told = format!(
                "{who} listens on port {} besides the gateway",
                socket.port()
            );
            Check::problem(AREA, told).remedy(format!("ss -tlnp sport = :{}", socket.port()))
        }
        None => Check::not_checked(
            AREA,
            format!("{address}: this system does not tell who listens"),
        ),
    }
}

fn memory() -> Check {
    const AREA: &str = "memory";
    let guard = bascule_os::memory_guard();
    if !guard.no_core_dumps || guard.unreadable == Some(false) {
        return Check::problem(
            AREA,
            "a crash or another process of this user could take secrets from memory",
        )
        .remedy("restart the daemon, and see its first lines of log: basculed");
    }
    let limit = guard
        .lockable
        .map_or_else(|| "any amount".to_owned(), bytes);
    let swap = match guard.swaps {
        Some(true) => "this machine swaps to a disk, where they could come to lie; encrypt that",
        Some(false) => "this machine swaps to no disk",
        None => "whether this machine swaps is not told",
    };
    Check::ok(
        AREA,
        format!(
            "no core dumps, closed to other processes, freed memory is wiped; secrets are not locked ({limit} would be allowed), and {swap}"
        ),
    )
}

fn remedy_of(failure: &ProbeFailure, name: impl Display) -> String {
    match failure {
        ProbeFailure::UnknownKey | ProbeFailure::WrongSecret => {
            format!("bascule credentials {name}")
        }
        other => other.next_step(),
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

fn many(number: usize, thing: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {thing}{s}")
}

fn bytes(number: u64) -> String {
    match number {
        0..1_048_576 => format!("{} KiB", number.div_ceil(1024)),
        1_048_576..1_073_741_824 => format!("{} MiB", number >> 20),
        _ => format!("{:.1} GiB", number as f64 / f64::from(1 << 30)),
    }
}

/// The path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
