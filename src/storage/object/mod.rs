//! Objects at URLs: what this room does with local files, done by requests to a store.
//!
//! There is one client per store (scheme and bucket), made on first use, and one private runtime for all of them;
//! callers block. After a transient failure a request is sent again with growing waits (ten times in three minutes,
//! unless `max_retries` and `retry_timeout` say otherwise). At most `MAX_REQUESTS` are in flight.
//!
//! Reads are bound to the version (etag) that was opened: if an object is replaced meanwhile, that is an error, never a
//! mixture. Small files are written by one conditional put; large ones in parts, which are removed if the upload fails
//! or is stopped. A "directory" is any prefix with objects below it: nothing creates one.
//!
//! Without the feature `object-stores` every function here reports that the program was built without it.

#[cfg(feature = "object-stores")]
mod client;
#[cfg(feature = "object-stores")]
mod fault;
#[cfg(feature = "object-stores")]
#[cfg(test)]
mod faulty;
#[cfg(feature = "object-stores")]
mod metadata_service;
#[cfg(feature = "object-stores")]
mod options;
#[cfg(feature = "object-stores")]
mod read;
#[cfg(feature = "object-stores")]
mod stop;
mod url;
#[cfg(not(feature = "object-stores"))]
mod without;
#[cfg(feature = "object-stores")]
mod write;

#[cfg(feature = "object-stores")]
pub(super) use client::{Object, runtime};
#[cfg(feature = "object-stores")]
#[cfg(test)]
pub(crate) use faulty::{
    Fault, Faults, install_counted, install_faulty, install_sound, install_store,
};
#[cfg(feature = "object-stores")]
pub(super) use options::cache_bytes;
#[cfg(feature = "object-stores")]
pub use options::set_options;
#[cfg(feature = "object-stores")]
pub(super) use read::{find, for_each_block, get_many, get_up_to, is_prefix, list, list_all, open};
#[cfg(feature = "object-stores")]
pub use stop::stop_uploads;
pub(super) use url::ObjectUrl;
#[cfg(not(feature = "object-stores"))]
pub(super) use without::{
    Object, cache_bytes, check_writable, create, delete, delete_tree, find, for_each_block,
    get_many, get_up_to, is_prefix, list, list_all, open, overwrite, upload, upload_new,
};
#[cfg(not(feature = "object-stores"))]
pub use without::{set_options, stop_uploads};
#[cfg(feature = "object-stores")]
pub(super) use write::{
    check_writable, create, delete, delete_tree, overwrite, upload, upload_new,
};
