//! A checkpoint's graph: written where somebody wants it, or into a cache that tasks share.
//!
//! A cache is a directory with one directory an entry, named by a hash over the checkpoint's files, the dialect,
//! the format of the weights and the version of the graphs: the same inputs are the same entry, and nothing else is.
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
//! Whoever makes an entry holds the lock of the cache's directory meanwhile; others wait, and find it. On a
//! filesystem without such locks, as NFS is, several may make the same at once, each in a directory of its own: the
//! first to end publishes, the others check that and take it. An entry is checked whole before it is used, and one
//! that is damaged is made again.

mod cache;
mod error;
mod export;

pub use cache::{CachedGraph, cached_graph};
pub use error::CheckpointGraphError;
pub use export::{GraphWork, OnWork, Onlooker, config_json, export_checkpoint};
