//! The one place with operating system calls: private files and folders, locks, sockets, ports,
//! the process itself, and the one behind a connection.
//!
//! It must never decide what a refusal means for the product, hold a secret longer than a call,
//! or know any other room. Calls block; asynchronous callers run them on a thread of their own.

pub mod attribution;
mod boot;
mod exposure;
mod file;
mod folder;
#[cfg(target_os = "linux")]
mod folder_watch;
mod foreign;
mod group;
mod limits;
mod lock;
mod mounts;
mod own_file;
mod path_error;
mod port;
mod process;
mod resident;
mod running;
pub mod service;
mod socket;
mod tcp;
mod tree;
#[cfg(target_os = "linux")]
mod wall_timer;
mod wiping;

pub use boot::{awake, boot_id, since_boot};
pub use exposure::{Exposure, exposures, exposures_of};
pub use file::{
    check_private_file, create_private_file, destroy_file, open_private_file, read_private,
    read_private_of, remove_file, replace_file, write_private,
};
pub use folder::{look_at_private_dir, private_dir, sync_dir};
#[cfg(target_os = "linux")]
pub use folder_watch::FolderWatch;
pub use foreign::{
    FileIdentity, ForeignError, file_identity, foreign_begins_with, read_foreign,
    read_foreign_secret,
};
pub use group::{give, group_dir, group_id, peer_is_in};
pub use limits::{MemoryGuard, Space, Watches, memory_guard, space, watches};
pub use lock::{InstanceLock, LockError};
pub use mounts::{Mount, MountReach, Mounts, mount_of_file};
pub use own_file::{Link, OwnFile, OwnFileError, Replaced};
pub use path_error::PathError;
pub use port::{Holder, port_holder};
pub use process::{
    HardenError, command_of, effective_uid, harden_process, host_name, idle_priority, kill_group,
    kill_self, may_execute, parent_of, raise_descriptor_limit, started_at, stderr_is_the_journal,
};
pub use resident::release;
pub use running::{Owner, Running, initial_environment, running, user_of};
pub use socket::{SOCKET_PATH_LIMIT, SocketError, SocketState, check_socket_path};
pub use tcp::{let_many_wait, undelivered};
pub use tree::{Entry, EntryKind, Folder, FolderIdentity, Opened};
#[cfg(target_os = "linux")]
pub use wall_timer::WallTimer;
pub use wiping::WipingAllocator;
