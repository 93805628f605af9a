//! Where bytes live: atomic publication, temporaries, hashing. A local directory, or a prefix in an object store.
//!
//! Elsewhere a path is just a path. Only here may one turn out to be a URL (`location`); `object` then does by requests
//! what is otherwise done to a local file. So the same code writes, lists and reads a label set at
//! `s3://bucket/run/labels` and in a directory.
//!
//! ## On this machine
//!
//! A file appears under its final name whole or not at all. It is written next to that name, to a temporary
//! `.NAME.<host>.<pid>.<nonce>`, hashed on the way, fsynced, and then published by a hard link, which fails if the
//! name is taken: the first writer wins and later ones are told so. Filesystems without hard links get a rename that
//! fails in the same way, and those without that an exclusive create and a copy. The directory is fsynced before a
//! publication is reported.
//!
//! The writer holds an flock on its temporary as long as it lives. The kernel drops the lock when the process dies,
//! however it dies, so [`sweep_abandoned`] can tell a temporary left by a killed run from one that another process is
//! writing. Beginning a file removes what killed writers of the same name left.
//!
//! ## In a store
//!
//! A file is completed on local scratch, hashed on the way, and uploaded when it is published: a small one by a put
//! that the store refuses if the name is taken, a large one in parts. There are no temporaries, locks or fsyncs: an
//! object is there whole or not at all. Parts of a large file sent by a killed writer are not an object; the bucket's
//! own rule for unfinished uploads removes them.
//!
//! ## On the Hugging Face hub
//!
//! Files are only read, each by a download into the hub's own cache (`hub`); after that they are local files.
//!
//! Invariant: nothing half-written stays under a final name while its writer is alive.

mod block_file;
mod block_hashes;
#[cfg(feature = "object-stores")]
#[cfg(test)]
mod cache_tests;
mod copies;
mod copying;
mod entry;
mod error;
mod eviction;
mod fault;
mod files;
mod globs;
mod hash;
mod hub;
mod json;
mod leases;
mod location;
mod lock;
mod names;
mod object;
mod partial;
mod place;
mod publish;
mod published;
mod row_groups;
mod size;
mod sort;
mod source;
mod space;
mod store_fault;
#[cfg(feature = "object-stores")]
#[cfg(test)]
mod store_tests;
mod stream;
mod sweep;
mod table;
#[cfg(feature = "object-stores")]
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod window;

pub use block_file::BlockFile;
pub use block_hashes::{BlockHasher, BlockHashes};
pub use copies::{cache_dir, copy_file, local_copy, local_copy_of, with_copy, working_dir};
pub use copying::{CopyProgress, on_copy};
pub use entry::{Entry, Metadata};
pub use error::StorageError;
#[cfg(test)]
pub(crate) use fault::{Unsupported, fail_nth, fail_nth_read, on_filesystem, without_hard_links};
pub use files::{
    Identity, check_writable, exists, for_each_block, identity, is_dir, is_file, list, list_all,
    make_dirs, metadata, metadata_if_exists, open_regular, others_in, pinned, read, read_if_exists,
    read_many, read_to_string, read_typed, read_up_to, remove_file, remove_if_unchanged,
    remove_tree, scratch_beside,
};
pub use globs::{GlobError, glob, is_glob};
pub use hash::{FileHash, fingerprint_of, hash_file, sampled_blake3};
pub use json::{CHECKSUM_KEY, JsonFault, checked_json, from_checked_json};
pub use lock::{Lock, lock_dir, lock_file, try_lock_dir};
pub use names::{check_file_name, host, unique_name};
#[cfg(feature = "object-stores")]
#[cfg(test)]
pub(crate) use object::{
    Fault, Faults, install_counted, install_faulty, install_sound, install_store,
};
pub use object::{set_options, stop_uploads};
pub use partial::{Partial, Sealed, create_if_absent, replace};
pub use place::{
    PlaceError, check_apart, check_local_place, check_output_place, check_place, is_url,
    plain_place, resolved_path,
};
pub use publish::{publish_dir, rename_dir, replace_dir};
pub use published::Publish;
pub(crate) use row_groups::{RowGroupWriter, encode_error, table_properties};
pub(crate) use sort::{Record, Sorted, Sorter, words};
pub use source::{DecodeError, Source, SourceReader};
pub use space::free_bytes;
pub use store_fault::StoreFault;
pub use stream::{Stream, storage_error};
pub use sweep::{Abandoned, remove_abandoned, sweep_abandoned, sweep_abandoned_where};
pub(crate) use table::{
    TableBuilder, TableReader, number_column, open_table, string_column, table_metadata,
};
