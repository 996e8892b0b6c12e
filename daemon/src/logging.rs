//! Where log lines go and what may be in them.
//!
//! Only our own crates may log: what libraries print at debug level (request lines, headers,
//! computed signatures) can hold secrets, buckets and endpoints, whatever level is asked for.

use std::{io::IsTerminal, sync::OnceLock};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use crate::config::{Config, LogFormat};

const OWN_CRATES: [&str; 9] = [
    "basculed",
    "bascule_adapters",
    "bascule_domain",
    "bascule_formats",
    "bascule_gateway",
    "bascule_os",
    "bascule_sigv4",
    "bascule_store",
    "bascule_watch",
];

/// Changes what may pass.
static FILTER: OnceLock<reload::Handle<Targets, Registry>> = OnceLock::new();

/// What may pass.
fn filter(config: &Config) -> Targets {
    Targets::new()
        .with_default(LevelFilter::OFF)
        .with_targets(OWN_CRATES.map(|name| (name, config.log_level)))
        .with_target(bascule_gateway::ACCESS_LOG, access(config))
}

/// Lets pass what these settings say from now on.
pub(crate) fn apply(config: &Config) {
    if let Some(handle) = FILTER.get()
        && let Err(error) = handle.reload(filter(config))
    {
        tracing::error!(%error, "what is logged could not be changed");
    }
}

/// Installs the subscriber. Call once.
pub(crate) fn install(config: &Config) {
    let (filter, handle) = reload::Layer::new(filter(config));
    // It is installed once.
    FILTER.set(handle).ok();
    let terminal = std::io::stderr().is_terminal();
    let journal = bascule_os::stderr_is_the_journal();
    let layer = match config.log_format {
        LogFormat::Journald => journald(),
        LogFormat::Auto if journal => journald(),
        LogFormat::Human => Some(human(terminal)),
        LogFormat::Auto if terminal => Some(human(true)),
        LogFormat::Json | LogFormat::Auto => None,
    };
    let layer = layer.unwrap_or_else(|| {
        tracing_subscriber::fmt::layer()
            .json()
            .with_writer(std::io::stderr)
            .boxed()
    });
    tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .init();
}

/// The access log is a matter of its own: a line for each request would drown everything else.
const fn access(config: &Config) -> LevelFilter {
    if config.log_access {
        LevelFilter::INFO
    } else {
        LevelFilter::OFF
    }
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn human(terminal: bool) -> BoxedLayer {
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt::layer()
        .with_ansi(colour)
        .with_target(false)
        .with_writer(std::io::stderr)
        .boxed()
}

fn journald() -> Option<BoxedLayer> {
    tracing_journald::layer().ok().map(Layer::boxed)
}
