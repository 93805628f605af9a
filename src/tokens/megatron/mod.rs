//! Megatron's pair of files: `.bin`, which contains only the ids, and `.idx`, the tables that divide it.
//!
//! The `.idx`, little-endian: magic `MMIDIDX\0\0`; u64 version 1; u8 dtype code (1 u8, 2 i8, 3 i16, 4 i32, 5 i64, 8
//! u16; 6 and 7 are floats and refused); u64 number of sequences; u64 number of document entries (documents + 1). Then
//! from byte 34, unaligned: i32 lengths in tokens and i64 offsets in bytes of every sequence, and the i64 document
//! entries: the sequence at which each document starts, the last being the number of sequences. A multimodal data set
//! may end with a byte per sequence, its mode; these are accepted if all are 0 (text). We write one sequence per
//! document; Megatron also has documents of several sequences (sentences), which are read as one document.

mod idx;
mod writer;

pub use idx::{HEADER_BYTES, IdxFault, IdxLayout, MAGIC, validate_idx};
pub use writer::{MegatronWriter, WrittenPair};

use std::path::{Path, PathBuf};

/// `prefix` with a file name ending; a prefix may contain dots, so it is appended.
pub(super) fn with_suffix(prefix: &Path, suffix: &str) -> PathBuf {
    let mut path = prefix.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
