//! Where Parquet bytes come from: a file, or memory; and a decoder that cannot hide a failed read.
//!
//! The decoder turns errors of the file system into text on their way up, after which a disk that did
//! not answer looks like damage. A [`Source`] therefore keeps the error of a read that failed, and
//! [`Source::decode`] gives that one.

use super::{StorageError, fault};
use crate::error::guarded;
use bytes::Bytes;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A cheap handle on the bytes of one file. Reads are positional, so clones never disturb each
/// other, and never pass the end that the file had when it was opened.
#[derive(Debug, Clone)]
pub struct Source {
    content: Content,
    path: PathBuf,
    /// The first read that the system refused.
    failure: Arc<Mutex<Option<io::Error>>>,
}

#[derive(Debug, Clone)]
enum Content {
    File { file: Arc<File>, len: u64 },
    Memory(Bytes),
}

/// Why something could not be decoded.
#[derive(Debug)]
pub enum DecodeError {
    /// The bytes could not be read: the file may be sound.
    Read(StorageError),
    /// The bytes are not what they should be.
    Parquet(ParquetError),
    /// They are so far from it that the decoder panicked; its message.
    Panic(String),
}

impl Source {
    /// Opens a file.
    ///
    /// # Errors
    /// [`StorageError::Io`] with the path.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let io = |source| StorageError::io("read", path, source);
        fault::check_read().map_err(io)?;
        let file = File::open(path).map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        if metadata.is_dir() {
            return Err(io(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let (file, len) = (Arc::new(file), metadata.len());
        Ok(Self::new(Content::File { file, len }, path))
    }

    /// Bytes in memory; `path` is for messages.
    pub fn of_bytes(path: &Path, bytes: Bytes) -> Self {
        Self::new(Content::Memory(bytes), path)
    }

    fn new(content: Content, path: &Path) -> Self {
        Source {
            content,
            path: path.to_path_buf(),
            failure: Arc::default(),
        }
    }

    /// Bytes of the file.
    pub fn n_bytes(&self) -> u64 {
        match &self.content {
            Content::File { len, .. } => *len,
            Content::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Runs `work`, which decodes from this source. Asserts and index checks of the decoder panic on
    /// some damaged files; that becomes an error too.
    ///
    /// # Errors
    /// [`DecodeError`]: a read that failed comes before what the decoder made of it.
    pub fn decode<R>(
        &self,
        work: impl FnOnce() -> Result<R, ParquetError>,
    ) -> Result<R, DecodeError> {
        let error = match guarded(work) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(source)) => DecodeError::Parquet(source),
            Err(panic) => DecodeError::Panic(panic),
        };
        match self.take_failure() {
            Some(source) => Err(DecodeError::Read(StorageError::io(
                "read", &self.path, source,
            ))),
            None => Err(error),
        }
    }

    /// `length` bytes from `start` on.
    ///
    /// # Errors
    /// [`StorageError::Io`]; fewer bytes are there.
    pub fn read_at(&self, start: u64, length: usize) -> Result<Bytes, StorageError> {
        self.get_bytes(start, length).map_err(|error| {
            let source = self
                .take_failure()
                .unwrap_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string()));
            StorageError::io("read", &self.path, source)
        })
    }

    fn take_failure(&self) -> Option<io::Error> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }

    /// Keeps what the system said. An end that comes early is no word of the system's: the file was
    /// cut, and that is damage.
    fn noted(&self, error: io::Error) -> io::Error {
        let Some(code) = error.raw_os_error() else {
            return error;
        };
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        io::Error::from_raw_os_error(code)
    }
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.n_bytes()
    }
}

impl ChunkReader for Source {
    type T = SourceReader;

    fn get_read(&self, start: u64) -> ParquetResult<SourceReader> {
        Ok(SourceReader {
            source: self.clone(),
            offset: start,
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        // Lengths come from the file itself: look before allocating.
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.n_bytes()) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} pass the end at {}",
                self.n_bytes()
            )));
        }
        match &self.content {
            Content::Memory(bytes) => Ok(bytes.slice(start as usize..start as usize + length)),
            Content::File { file, .. } => {
                let mut buffer = vec![0; length];
                fault::check_read()
                    .and_then(|()| file.read_exact_at(&mut buffer, start))
                    .map_err(|error| self.noted(error))?;
                Ok(buffer.into())
            }
        }
    }
}

/// Reads on from an offset.
#[derive(Debug)]
pub struct SourceReader {
    source: Source,
    offset: u64,
}

impl Read for SourceReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = match &self.source.content {
            Content::File { file, .. } => fault::check_read()
                .and_then(|()| file.read_at(buffer, self.offset))
                .map_err(|error| self.source.noted(error))?,
            Content::Memory(bytes) => {
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
