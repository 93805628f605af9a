//! What was read and what was written.

use serde::{Deserialize, Serialize};
use std::ops::AddAssign;

/// Documents and bytes, of one file or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Documents of the corpus.
    pub n_documents: u64,
    /// Those that the selection keeps.
    pub n_kept: u64,
    /// Documents written: the kept ones, or all if weights are written.
    pub n_written: u64,
    /// Records that are not documents: empty ones and bad lines; blank lines do not count.
    pub n_skipped: u64,
    /// Bytes of UTF-8 text of the documents.
    pub n_text_bytes: u64,
    /// Bytes of UTF-8 text of the kept documents.
    pub n_text_bytes_kept: u64,
    /// Bytes of the (compressed) input files.
    pub n_bytes_in: u64,
    /// Bytes of the (compressed) files written.
    pub n_bytes_out: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.n_documents += more.n_documents;
        self.n_kept += more.n_kept;
        self.n_written += more.n_written;
        self.n_skipped += more.n_skipped;
        self.n_text_bytes += more.n_text_bytes;
        self.n_text_bytes_kept += more.n_text_bytes_kept;
        self.n_bytes_in += more.n_bytes_in;
        self.n_bytes_out += more.n_bytes_out;
    }
}
