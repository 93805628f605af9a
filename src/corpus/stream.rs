//! Opening a file as a stream of decompressed bytes, and naming what goes wrong with it.

use super::error::CorpusError;
use super::format::Compression;
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BUFFER_BYTES: usize = 256 << 10;

/// Decompressed bytes of a file.
pub(super) type ByteStream = Box<dyn BufRead + Send>;

/// Opens `path`; bytes read from the file itself are added to `n_bytes`, for progress.
pub(super) fn open(
    path: &Path,
    compression: Compression,
    n_bytes: &Arc<AtomicU64>,
) -> Result<ByteStream, CorpusError> {
    let fault = |error| read_fault(path, compression, error);
    let mut raw = BufReader::with_capacity(
        BUFFER_BYTES,
        Counting {
            file: File::open(path).map_err(fault)?,
            n_bytes: Arc::clone(n_bytes),
        },
    );
    if compression != Compression::None && raw.fill_buf().map_err(fault)?.is_empty() {
        // The decoders take no bytes at all for an empty stream; no compressor writes that.
        return Err(fault(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip => Box::new(buffered(MultiGzDecoder::new(raw))),
        Compression::Zstd => Box::new(buffered(zstd::Decoder::with_buffer(raw).map_err(fault)?)),
    })
}

fn buffered<R: Read>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(BUFFER_BYTES, reader)
}

/// A failed read as an error: of the system, or of the compressed stream.
pub(super) fn read_fault(path: &Path, compression: Compression, error: io::Error) -> CorpusError {
    let path = path.to_path_buf();
    if compression == Compression::None || error.raw_os_error().is_some() {
        return CorpusError::Io {
            path,
            source: error,
        };
    }
    let compression = compression.name();
    match error.kind() {
        io::ErrorKind::UnexpectedEof => CorpusError::Truncated { path, compression },
        _ => CorpusError::DamagedStream {
            path,
            compression,
            reason: error.to_string(),
        },
    }
}

struct Counting {
    file: File,
    n_bytes: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        self.n_bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}
