//! Where Parquet bytes come from: a file, or memory.

use bytes::Bytes;
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// A cheap handle on the bytes of one file. Reads are positional, so clones never disturb each
/// other, and never pass the end that the file had when it was opened.
#[derive(Debug, Clone)]
pub(super) enum Source {
    File { file: Arc<File>, len: u64 },
    Bytes(Bytes),
}

impl Source {
    pub(super) fn open(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let file = Arc::new(file);
        Ok(Source::File { file, len })
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        match self {
            Source::File { len, .. } => *len,
            Source::Bytes(bytes) => bytes.len() as u64,
        }
    }
}

impl ChunkReader for Source {
    type T = SourceReader;

    fn get_read(&self, start: u64) -> Result<SourceReader> {
        Ok(SourceReader {
            source: self.clone(),
            offset: start,
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        // Lengths come from the file itself: look before allocating.
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} pass the end at {}",
                self.len()
            )));
        }
        match self {
            Source::Bytes(bytes) => Ok(bytes.slice(start as usize..start as usize + length)),
            Source::File { file, .. } => {
                let mut buffer = vec![0; length];
                file.read_exact_at(&mut buffer, start)?;
                Ok(buffer.into())
            }
        }
    }
}

/// Reads on from an offset.
#[derive(Debug)]
pub(super) struct SourceReader {
    source: Source,
    offset: u64,
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &self.source {
            Source::File { file, .. } => file.read_at(buffer, self.offset)?,
            Source::Bytes(bytes) => {
                let start = usize::try_from(self.offset)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                let n = buffer.len().min(bytes.len() - start);
                buffer[..n].copy_from_slice(&bytes[start..start + n]);
                n
            }
        };
        self.offset += n as u64;
        Ok(n)
    }
}
