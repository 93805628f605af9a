//! Objects behind URLs: what this room does with local files, done by requests to a store.
//!
//! There is one client a store (scheme and bucket), made when it is first asked for, and one private runtime
//! for all of them; callers block. A request that fails in passing is sent again with growing waits (ten times in
//! three minutes, unless `max_retries` and `retry_timeout` say otherwise), and at most `MAX_REQUESTS` are on
//! their way at a time.
//!
//! Reads are bound to the version (etag) that was opened: an object that is replaced meanwhile is an error, and
//! never half of each. Writes of small files are one conditional put. Large ones go by parts, which are taken
//! back where the upload fails or is stopped. A "directory" is what has objects below it: nothing makes one.
//!
//! Without the feature `object-stores` every function here says that the program was built without it.

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
pub(super) use read::{
    find, for_each_block, get, get_many, get_up_to, is_prefix, list, list_all, open,
};
#[cfg(feature = "object-stores")]
pub use stop::stop_uploads;
pub(super) use url::ObjectUrl;
#[cfg(not(feature = "object-stores"))]
pub(super) use without::{
    Object, cache_bytes, check_writable, create, delete, delete_tree, find, for_each_block, get,
    get_many, get_up_to, is_prefix, list, list_all, open, overwrite, upload, upload_new,
};
#[cfg(not(feature = "object-stores"))]
pub use without::{set_options, stop_uploads};
#[cfg(feature = "object-stores")]
pub(super) use write::{
    check_writable, create, delete, delete_tree, overwrite, upload, upload_new,
};
