//! Where bytes live: atomic publication, temporaries, hashing. A local directory now.
//!
//! A file appears under its final name whole or not at all. It is written beside that name, in a
//! temporary `.NAME.<host>.<pid>.<nonce>`, hashed as it passes, fsynced, and then published by a
//! hard link, which fails if the name is taken: the first writer wins and later ones are told so.
//! Filesystems without hard links get a rename that fails in the same way, and those without that an
//! exclusive create and a copy. The directory is fsynced before a publication is reported.
//!
//! The writer holds an flock on its temporary for as long as it lives. The kernel drops the lock
//! when the process dies, however it dies, so [`sweep_abandoned`] can tell a temporary that a
//! killed run left from one that another process is writing. Whoever begins a file sweeps what
//! killed writers of that very name left.
//!
//! Invariant: nothing half-written stays under a final name while its writer is alive.

mod error;
mod fault;
mod hash;
mod json;
mod lock;
mod names;
mod partial;
mod place;
mod publish;
mod source;
mod space;
mod sweep;
#[cfg(test)]
mod tests;

pub use error::StorageError;
#[cfg(test)]
pub(crate) use fault::{Lacks, fail_nth, fail_nth_read, on_filesystem, without_hard_links};
pub use hash::{FileHash, fingerprint_of, hash_file, sampled_blake3};
pub use json::{CHECKSUM_KEY, JsonFault, checked_json, from_checked_json};
pub use lock::{Lock, lock_dir, lock_file, try_lock_dir};
pub use names::{check_file_name, host};
pub use partial::{Partial, Sealed, create_if_absent, replace};
pub use place::{PlaceError, check_apart, check_place, resolved_path};
pub use publish::{
    Publish, is_there, publish_dir, remove_file, remove_tree, rename_dir, replace_dir,
};
pub use source::{DecodeError, Source, SourceReader};
pub use space::free_bytes;
pub use sweep::{Abandoned, remove_abandoned, sweep_abandoned, sweep_abandoned_where};
