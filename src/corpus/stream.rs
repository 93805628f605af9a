//! Opens a file as a stream of decompressed bytes, and says what goes wrong with it.

mod lz4;
mod members;

use self::lz4::Lz4Frames;
use self::members::GzipMembers;
use super::error::CorpusError;
use super::format::Compression;
use super::input_file::PassingHash;
use crate::error::{Classified, Kind};
use crate::interrupt::Interrupt;
use crate::storage::{StorageError, Stream, storage_error};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BUFFER_BYTES: usize = 256 << 10;
/// Most memory that an xz stream may ask for, bytes: `xz -9` needs 65 MiB.
const XZ_MEMORY_BYTES: u64 = 1 << 30;

/// Decompressed bytes of a file.
pub(super) type ByteStream = Box<dyn BufRead + Send>;

/// Common arguments for opening a stream.
#[derive(Clone)]
pub(super) struct Opening {
    /// Counts the bytes read from the files themselves, for progress.
    pub(super) n_bytes: Arc<AtomicU64>,
    /// Stops reading at the next buffer, however long the document.
    pub(super) interrupt: Interrupt,
    /// Largest window of a zstd frame, binary logarithm of bytes.
    pub(super) zstd_window_log_max: u32,
    /// Hashes what is read from the file, if wanted.
    pub(super) hash: Option<PassingHash>,
}

/// An opened file from which nothing has been consumed.
pub(super) type RawStream = BufReader<Counting>;

/// Opens `path` without decompressing.
pub(super) fn open_raw(path: &Path, opening: &Opening) -> Result<RawStream, CorpusError> {
    let file = Stream::open(path).map_err(|error| match error {
        StorageError::Io { source, .. } => read_fault(path, Compression::None, source),
        other => other.into(),
    })?;
    let counting = Counting {
        file,
        n_bytes: Arc::clone(&opening.n_bytes),
        hash: opening.hash.clone(),
    };
    let mut raw = BufReader::with_capacity(BUFFER_BYTES, counting);
    raw.fill_buf()
        .map_err(|error| read_fault(path, Compression::None, error))?;
    Ok(raw)
}

/// The decompressed bytes of an opened file.
pub(super) fn decompress(
    raw: RawStream,
    path: &Path,
    compression: Compression,
    opening: &Opening,
) -> Result<ByteStream, CorpusError> {
    let fault = |error| read_fault(path, compression, error);
    if compression != Compression::None && raw.buffer().is_empty() {
        // The decoders accept an empty stream; no compressor writes one.
        return Err(fault(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(match compression {
        Compression::None => buffered(raw, opening),
        Compression::Gzip => buffered(GzipMembers::new(raw), opening),
        Compression::Zstd => {
            check_window(raw.buffer(), path, opening.zstd_window_log_max)?;
            let mut decoder = zstd::Decoder::with_buffer(raw).map_err(fault)?;
            let limit = opening.zstd_window_log_max;
            decoder.window_log_max(limit).map_err(fault)?;
            buffered(decoder, opening)
        }
        Compression::Xz => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES, flags)
                .map_err(|error| fault(error.into()))?;
            buffered(
                liblzma::bufread::XzDecoder::new_stream(raw, stream),
                opening,
            )
        }
        Compression::Bzip2 => buffered(bzip2::bufread::MultiBzDecoder::new(raw), opening),
        Compression::Lz4 => buffered(Lz4Frames::new(raw), opening),
    })
}

fn buffered<R: Read + Send + 'static>(inner: R, opening: &Opening) -> ByteStream {
    let interrupt = opening.interrupt.clone();
    Box::new(BufReader::with_capacity(
        BUFFER_BYTES,
        Stoppable { inner, interrupt },
    ))
}

/// The window that the first frame of a zstd file asks for (RFC 8878, 3.1.1.1), if it is above the limit: the library
/// says only that it takes too much memory.
fn check_window(head: &[u8], path: &Path, limit_log: u32) -> Result<(), CorpusError> {
    match first_window_log(head) {
        Some(log) if log > limit_log => Err(CorpusError::ZstdWindow {
            path: path.to_path_buf(),
            window: Some((log, limit_log)),
        }),
        _ => Ok(()),
    }
}

/// Binary logarithm of the first frame's window, rounded up; `None` if it has no window of its own.
fn first_window_log(head: &[u8]) -> Option<u32> {
    let (descriptor, window) = (*head.get(4)?, *head.get(5)?);
    let is_frame = head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]);
    let is_single_segment = descriptor & 0x20 != 0;
    let log = 10 + u32::from(window >> 3) + u32::from(window & 7 != 0);
    (is_frame && !is_single_segment).then_some(log)
}

/// The error of a failed read: of the system, or of the compressed stream.
pub(super) fn read_fault(path: &Path, compression: Compression, error: io::Error) -> CorpusError {
    let error = match storage_error(error) {
        Ok(error) => return error.into(),
        Err(error) => error,
    };
    let path = path.to_path_buf();
    if error.get_ref().is_some_and(|inner| inner.is::<Stopped>()) {
        return CorpusError::Interrupted;
    }
    if compression == Compression::None || error.raw_os_error().is_some() {
        return CorpusError::Io {
            path,
            source: error,
        };
    }
    let name = compression.name();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CorpusError::Truncated {
            path,
            compression: name,
        },
        _ if compression == Compression::Zstd && error.to_string().contains("too much memory") => {
            CorpusError::ZstdWindow { path, window: None }
        }
        _ => CorpusError::DamagedStream {
            path,
            compression: name,
            reason: error.to_string(),
        },
    }
}

/// Reading was asked to stop.
#[derive(Debug, thiserror::Error)]
#[error("interrupted")]
struct Stopped;

impl Classified for Stopped {
    fn kind(&self) -> Kind {
        Kind::Interrupted
    }
}

/// Stops on request, even where a few bytes of a file expand to gigabytes.
struct Stoppable<R> {
    inner: R,
    interrupt: Interrupt,
}

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.interrupt.is_requested() {
            return Err(io::Error::other(Stopped));
        }
        self.inner.read(buffer)
    }
}

pub(super) struct Counting {
    file: Stream,
    n_bytes: Arc<AtomicU64>,
    hash: Option<PassingHash>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.n_bytes.fetch_add(n as u64, Ordering::Relaxed);
        if let Some(hash) = &self.hash {
            hash.update(&buffer[..n]);
        }
        Ok(n)
    }
}
