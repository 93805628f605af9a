//! A file being written: buffered, and published in place of an older one.

use super::corpus_json::FileStamp;
use super::error::TokensError;
use crate::storage::{self, Publish, StorageError};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const BUFFER_BYTES: usize = 1 << 20;

/// A temporary in the final directory, hashed while it is written; removed on drop.
pub(super) struct Partial {
    file: BufWriter<storage::Partial>,
    final_path: PathBuf,
}

/// A temporary that is complete on disk; removed on drop.
pub(super) struct Sealed {
    pub(super) stamp: FileStamp,
    file: storage::Sealed,
    final_path: PathBuf,
}

impl Partial {
    pub(super) fn create(final_path: &Path) -> Result<Self, TokensError> {
        let file = storage::Partial::create(final_path)?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            final_path: final_path.to_path_buf(),
        })
    }

    pub(super) fn final_path(&self) -> &Path {
        &self.final_path
    }

    /// Syncs everything to disk.
    pub(super) fn seal(self) -> Result<Sealed, TokensError> {
        let file = self
            .file
            .into_inner()
            .map_err(|error| StorageError::io("write", &self.final_path, error.into_error()))?;
        let file = file.seal()?;
        let stamp = FileStamp {
            bytes: file.hash.bytes,
            blake3: file.hash.blake3.clone(),
        };
        Ok(Sealed {
            stamp,
            file,
            final_path: self.final_path,
        })
    }
}

impl Write for Partial {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Sealed {
    /// Gives the file its final name, replacing another. In a store, where no lock excludes other writers, the name
    /// must be free.
    pub(super) fn publish(self) -> Result<(), TokensError> {
        if !storage::is_url(&self.final_path) {
            return Ok(self.file.replace()?);
        }
        match self.file.publish()? {
            Publish::Created => Ok(()),
            // This process may have put it there, if the store's response was lost.
            Publish::AlreadyThere if is_of(&self.stamp, &self.final_path)? => Ok(()),
            Publish::AlreadyThere => Err(TokensError::OutputInUse {
                dir: self.final_path.parent().unwrap_or(&self.final_path).into(),
            }),
        }
    }
}

fn is_of(stamp: &FileStamp, path: &Path) -> Result<bool, TokensError> {
    if storage::metadata(path)?.n_bytes != stamp.bytes {
        return Ok(false);
    }
    Ok(storage::hash_file(path)?.blake3 == stamp.blake3)
}
