//! Tables as large as a corpus, in an unlinked temporary file that is then mapped.

use super::error::TokensError;
use memmap2::Mmap;
use std::fs::File;
use std::io::{BufWriter, Write};

/// Writes bytes to an unlinked temporary file.
pub(super) struct Spool {
    file: BufWriter<File>,
}

impl Spool {
    pub(super) fn create() -> Result<Self, TokensError> {
        let file = tempfile::tempfile().map_err(fault("create a temporary file in"))?;
        Ok(Self {
            file: BufWriter::with_capacity(1 << 20, file),
        })
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), TokensError> {
        self.file
            .write_all(bytes)
            .map_err(fault("unpack tokens (set TMPDIR to choose where) into"))
    }

    pub(super) fn into_map(self) -> Result<Mmap, TokensError> {
        let fault = || fault("unpack tokens (set TMPDIR to choose where) into");
        let file = self
            .file
            .into_inner()
            .map_err(|error| fault()(error.into_error()))?;
        // SAFETY: the file has no name, so nobody else can open and change it.
        unsafe { Mmap::map(&file) }.map_err(fault())
    }
}

fn fault(action: &'static str) -> impl FnOnce(std::io::Error) -> TokensError {
    TokensError::io(action, &std::env::temp_dir())
}
