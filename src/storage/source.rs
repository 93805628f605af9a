//! Where Parquet bytes come from (a file, an object, or memory), and a decoder that cannot hide a failed read.
//!
//! The decoder turns filesystem errors into text on their way up, so that a disk that did not answer looks like damage.
//! A [`Source`] therefore keeps the error of a failed read, and [`Source::decode`] returns that one.
//!
//! A request to a store takes as long as transferring some 100 KiB. So callers that know what comes next say so
//! ([`Source::fetch`]), and ranges close together come in one request; other reads also fetch what follows them.

use super::files::open_regular;
use super::hub;
use super::location::{Location, locate};
use super::object::{self, Object};
use super::window::Windows;
use super::{StorageError, fault};
use crate::error::guarded;
use bytes::Bytes;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, Length};
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A cheap handle on the bytes of one file. Reads are positional, so clones never disturb each other, and never go past
/// the end that the file had when it was opened.
#[derive(Debug, Clone)]
pub struct Source {
    content: Content,
    path: PathBuf,
    /// The first read that the system refused.
    failure: Arc<Mutex<Option<StorageError>>>,
}

#[derive(Debug, Clone)]
enum Content {
    File { file: Arc<File>, len: u64 },
    Object(Arc<Windows<Object>>),
    Memory(Bytes),
}

/// Why something could not be decoded.
#[derive(Debug)]
pub enum DecodeError {
    /// The bytes could not be read: the file may be sound.
    Read(StorageError),
    /// The bytes are not what they should be.
    Parquet(ParquetError),
    /// They are so damaged that the decoder panicked; its message.
    Panic(String),
}

impl DecodeError {
    /// The failed read, or else `damaged` of the decoder's error. A panic of the decoder counts as one of its errors.
    pub fn or_damaged<E: From<StorageError>>(self, damaged: impl FnOnce(ParquetError) -> E) -> E {
        match self {
            DecodeError::Read(error) => error.into(),
            DecodeError::Parquet(source) => damaged(source),
            DecodeError::Panic(message) => damaged(ParquetError::General(message)),
        }
    }
}

impl Source {
    /// Opens a file.
    ///
    /// # Errors
    /// [`StorageError::Io`] with the path.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let path = &*hub::local(path)?;
        let io = |source| StorageError::io("read", path, source);
        let local = match locate(path)? {
            Location::Local(local) => local,
            Location::Object(url) => {
                let object = object::open(&url)?;
                let n_bytes = object.n_bytes;
                let windows = Windows::of(object, n_bytes);
                return Ok(Self::new(Content::Object(Arc::new(windows)), path));
            }
        };
        fault::check_read().map_err(io)?;
        let file = open_regular(local).map_err(io)?;
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

    /// Size of the file in bytes.
    pub fn n_bytes(&self) -> u64 {
        match &self.content {
            Content::File { len, .. } => *len,
            Content::Object(windows) => windows.n_bytes(),
            Content::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Announces which bytes will be read next. For an object they are fetched now, with close ranges in one request
    /// and several requests at a time, and replace what was fetched before. A range past the end is reported when it is
    /// read.
    ///
    /// # Errors
    /// [`StorageError`] of the store. A local file is read only when its bytes are asked for.
    pub fn fetch(&self, ranges: &[Range<u64>]) -> Result<(), StorageError> {
        match &self.content {
            Content::Object(windows) => windows.fetch(ranges),
            Content::File { .. } | Content::Memory(_) => Ok(()),
        }
    }

    /// Runs `work`, which decodes from this source. On some damaged files the decoder's asserts and index checks panic;
    /// that becomes an error too.
    ///
    /// # Errors
    /// [`DecodeError`]: a failed read takes precedence over what the decoder made of it.
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
            Some(error) => Err(DecodeError::Read(error)),
            None => Err(error),
        }
    }

    /// `length` bytes from `start` on.
    ///
    /// # Errors
    /// [`StorageError::Io`]; also if there are fewer bytes.
    pub fn read_at(&self, start: u64, length: usize) -> Result<Bytes, StorageError> {
        self.get_bytes(start, length).map_err(|error| {
            self.take_failure().unwrap_or_else(|| {
                let source = io::Error::new(io::ErrorKind::UnexpectedEof, error.to_string());
                StorageError::io("read", &self.path, source)
            })
        })
    }

    fn take_failure(&self) -> Option<StorageError> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }

    /// Keeps the system's error. An early end has no OS error code: the file was truncated, and that is damage.
    fn noted(&self, error: io::Error) -> io::Error {
        let Some(code) = error.raw_os_error() else {
            return error;
        };
        self.keep_failure(StorageError::io("read", &self.path, error));
        io::Error::from_raw_os_error(code)
    }

    fn keep_failure(&self, error: StorageError) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
    }

    /// Bytes of an object; a failure is kept.
    fn of_object(&self, windows: &Windows<Object>, start: u64, length: usize) -> io::Result<Bytes> {
        windows.read(start, length).map_err(|error| {
            let text = error.to_string();
            self.keep_failure(error);
            io::Error::other(text)
        })
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
        // Lengths come from the file itself: check before allocating.
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.n_bytes()) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} pass the end at {}",
                self.n_bytes()
            )));
        }
        match &self.content {
            Content::Memory(bytes) => Ok(bytes.slice(start as usize..start as usize + length)),
            Content::Object(windows) => Ok(self.of_object(windows, start, length)?),
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

/// A sequential reader from an offset.
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
            Content::Object(windows) => {
                let left = windows.n_bytes().saturating_sub(self.offset);
                let n = left.min(buffer.len() as u64) as usize;
                let bytes = self.source.of_object(windows, self.offset, n)?;
                buffer[..n].copy_from_slice(&bytes);
                n
            }
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
