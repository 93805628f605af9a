//! A checkpoint's graph, written to a given path or into a cache that tasks share.
//!
//! A cache is a directory with one subdirectory per entry, named by a hash over the checkpoint's files, the dialect,
//! the format of the weights and the version of the graphs, so each set of inputs has its own entry.
//!
//! ```text
//! teacher-cache/
//!   0a1b2c…/             appears whole, by one rename
//!     model.onnx         the graph
//!     model.onnx.data    its weights
//!     config.json        the longest sequence, and up to which length positions are those of pre-training
//!     entry.json         size and BLAKE3 of the files above
//! ```
//!
//! The process that makes an entry holds the lock of the cache's directory; others wait and then find the entry. On
//! a filesystem without such locks, such as NFS, several may make the same entry at once, each in its own
//! directory: the first to finish publishes it, and the others check and use that one. Every file of an entry is
//! checked before use, and a damaged entry is made again.

mod cache;
mod error;
mod export;

pub use cache::{CachedGraph, cached_graph};
pub use error::CheckpointGraphError;
pub use export::{GraphObserver, GraphWork, OnWork, config_json, export_checkpoint};
