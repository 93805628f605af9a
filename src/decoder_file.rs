//! A decoder's graph as a file, which is complete under its name or absent.
//!
//! Weights are inside the file, which protobuf limits to 2 GiB, or in `<file name>.data` beside it. The graph
//! is renamed into place last, so until then there is no model.

use crate::interrupt::{Interrupt, InterruptibleWriter};
use crate::onnx::decoder::{DecoderModel, Weights, WriteError};
use crate::storage::{FileHash, Partial, Sealed, StorageError, remove_file, sweep_abandoned_where};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Protobuf's limit on one message, in bytes, less some room for the graph itself.
pub const MAX_INLINE_BYTES: u64 = (2 << 30) - (1 << 20);

/// Where the weights of an ONNX model go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightsPlace {
    /// Into the model's file, which is then at most 2 GiB.
    Inline,
    /// Into `<file name>.data` beside it.
    External,
}

/// Observes the writing of a model, and may stop it.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Asks for a stop.
    pub interrupt: &'a Interrupt,
    /// Called with the bytes written so far, over all files.
    pub on_written: &'a dyn Fn(u64),
}

impl<'a> Watch<'a> {
    /// Stops on request and reports no progress.
    pub fn until(interrupt: &'a Interrupt) -> Self {
        Self {
            interrupt,
            on_written: &|_| (),
        }
    }
}

/// Why a model was not written.
#[derive(Debug)]
pub enum DecoderFileError<E> {
    /// A file cannot be written.
    Storage(StorageError),
    /// The process was asked to stop.
    Interrupted {
        /// The output.
        path: PathBuf,
    },
    /// More weights than one file may hold.
    TooLarge {
        /// The output.
        path: PathBuf,
        /// Bytes of the weights.
        n_bytes: u64,
    },
    /// The weights cannot be read.
    Weights(E),
    /// A weight that float16 cannot hold.
    OutOfRange {
        /// Its name.
        name: String,
        /// The value.
        value: f32,
    },
}

impl<E> From<StorageError> for DecoderFileError<E> {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

/// Writes the model, replacing any file at `path`. If a stop is requested meanwhile, the earlier file is kept.
/// Leftovers of a killed write of the same name are removed. Returns the name and hash of each file.
///
/// # Errors
/// See [`DecoderFileError`].
pub fn write_decoder<W: Weights>(
    path: &Path,
    model: &DecoderModel,
    weights: &W,
    place: WeightsPlace,
    watch: Watch<'_>,
) -> Result<Vec<(String, FileHash)>, DecoderFileError<W::Error>> {
    let data_path = data_path(path);
    let (name, data_name) = (name_of(path), name_of(&data_path));
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    sweep_abandoned_where(parent.unwrap_or(Path::new(".")), |found| {
        found == name || found == data_name
    })?;
    let n_written = Cell::new(0);
    if place == WeightsPlace::Inline {
        check_inline(path, model)?;
        let whole = seal(path, watch, &n_written, |out| model.write_to(weights, out))?;
        let hash = whole.hash.clone();
        whole.replace()?;
        return Ok(vec![(name, hash)]);
    }
    let data = seal(&data_path, watch, &n_written, |out| {
        model.write_data_to(weights, out)
    })?;
    let graph = seal(path, watch, &n_written, |out| {
        model.write_external_to(weights, &data_name, out)
    })?;
    let hashes = vec![(name, graph.hash.clone()), (data_name, data.hash.clone())];
    // An older model would otherwise point into the new weights for a moment.
    remove_file(path)?;
    data.replace()?;
    graph.replace()?;
    Ok(hashes)
}

/// Whether the weights file beside the model at `path` is what [`write_decoder`] would write there. A process
/// killed before the graph is renamed leaves such a file.
///
/// # Errors
/// A file that cannot be read.
pub fn has_data_of<W: Weights>(
    path: &Path,
    model: &DecoderModel,
    weights: &W,
) -> Result<bool, StorageError> {
    let data_path = data_path(path);
    let io = |source| StorageError::io("read", &data_path, source);
    let mut comparison = ComparingWriter {
        file: BufReader::new(File::open(&data_path).map_err(io)?),
        is_same: true,
    };
    // The first difference ends the writing early.
    let _ = model.write_data_to(weights, &mut comparison);
    let is_at_end = comparison.file.fill_buf().map_err(io)?.is_empty();
    Ok(comparison.is_same && is_at_end)
}

/// The file of the weights of the model at `path`, if they are [`WeightsPlace::External`].
pub fn data_path(path: &Path) -> PathBuf {
    path.with_file_name(format!("{}.data", name_of(path)))
}

/// Compares what is written with a file, up to the first difference.
struct ComparingWriter {
    file: BufReader<File>,
    is_same: bool,
}

impl Write for ComparingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut in_file = vec![0; bytes.len()];
        self.is_same &= self.file.read_exact(&mut in_file).is_ok() && in_file == bytes;
        match self.is_same {
            true => Ok(bytes.len()),
            false => Err(io::Error::other("other bytes")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn check_inline<E>(path: &Path, model: &DecoderModel) -> Result<(), DecoderFileError<E>> {
    match model.n_bytes() {
        n_bytes if n_bytes > MAX_INLINE_BYTES => Err(DecoderFileError::TooLarge {
            path: path.to_owned(),
            n_bytes,
        }),
        _ => Ok(()),
    }
}

/// Writes a whole file, but does not yet rename it into place.
fn seal<E>(
    path: &Path,
    watch: Watch<'_>,
    n_written: &Cell<u64>,
    write: impl FnOnce(&mut BufWriter<ProgressWriter<'_>>) -> Result<(), WriteError<E>>,
) -> Result<Sealed, DecoderFileError<E>> {
    let writer = InterruptibleWriter {
        out: Partial::create(path)?,
        interrupt: watch.interrupt,
    };
    let progress = ProgressWriter {
        writer,
        watch,
        n_written,
    };
    let mut out = BufWriter::with_capacity(1 << 16, progress);
    let written = write(&mut out).and_then(|()| Ok(out.flush()?));
    written.map_err(|error| failed(path, error, watch.interrupt))?;
    let progress = out
        .into_inner()
        .map_err(|error| failed(path, error.into_error().into(), watch.interrupt))?;
    Ok(progress.writer.out.seal()?)
}

/// Reports how far the writing is.
struct ProgressWriter<'a> {
    writer: InterruptibleWriter<'a, Partial>,
    watch: Watch<'a>,
    n_written: &'a Cell<u64>,
}

impl Write for ProgressWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.writer.write(bytes)?;
        self.n_written.set(self.n_written.get() + n as u64);
        (self.watch.on_written)(self.n_written.get());
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn failed<E>(path: &Path, error: WriteError<E>, interrupt: &Interrupt) -> DecoderFileError<E> {
    match error {
        WriteError::Weights(error) => DecoderFileError::Weights(error),
        WriteError::TooLarge { name, value } => DecoderFileError::OutOfRange { name, value },
        WriteError::Io(_) if interrupt.is_requested() => DecoderFileError::Interrupted {
            path: path.to_owned(),
        },
        WriteError::Io(source) => StorageError::io("write", path, source).into(),
    }
}
