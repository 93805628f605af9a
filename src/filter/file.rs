//! One input: its content, its output, and whether it is still what was tokenized.

use super::choices::{Choices, Decision, FileChoices};
use super::compress::Compressor;
use super::error::FilterError;
use super::inputs::Input;
use super::lines::copy_lines;
use super::options::Request;
use super::plan::{Done, make_dir};
use super::rows::RowFile;
use super::text::{copy_file, copy_text};
use crate::corpus::{InputFile, RawContents, RawFile, RawLines, RawText};
use crate::error::{Classified, Kind};
use crate::interrupt::Interrupt;
use crate::storage::{FileHash, Partial, Source, StorageError};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes written at a time.
const WRITE_BYTES: usize = 1 << 20;

/// A file under its temporary name.
type Sink = BufWriter<Partial>;

/// One input, and where it goes.
pub(super) struct FileJob<'a> {
    pub(super) input: &'a Input,
    pub(super) output: PathBuf,
    pub(super) request: &'a Request,
    pub(super) interrupt: &'a Interrupt,
    /// Bytes read of this file and those before it.
    pub(super) bytes_read: Arc<AtomicU64>,
}

/// Checks that an input has its recorded size, is what its name says, and can take what is to be added.
pub(super) fn check_input(
    input: &Input,
    request: &Request,
    interrupt: &Interrupt,
) -> Result<(), FilterError> {
    let (path, options) = (&input.path, &request.options);
    let got = Source::open(path)?.n_bytes();
    if got != input.file.bytes {
        return Err(changed(input, "size", &input.file.bytes, &got));
    }
    let raw = RawFile::open(path, &request.reading, &Arc::default(), interrupt)?;
    match raw.contents {
        RawContents::Parquet => RowFile::open(path, options).map(drop),
        RawContents::Text(_) if options.adds() => {
            Err(FilterError::NoPlaceInText { path: path.clone() })
        }
        RawContents::Text(_) | RawContents::Lines(_) => Ok(()),
    }
}

fn changed(
    input: &Input,
    what: &'static str,
    expected: &impl ToString,
    got: &impl ToString,
) -> FilterError {
    FilterError::ChangedInput {
        path: input.path.clone(),
        what,
        expected: expected.to_string(),
        got: got.to_string(),
    }
}

impl FileJob<'_> {
    /// Writes the output, and publishes it once the input is known to be what was tokenized; `look` is called from time
    /// to time.
    pub(super) fn filter(
        &self,
        choices: &mut Choices,
        look: &mut dyn FnMut(),
    ) -> Result<Done, FilterError> {
        let path = &self.input.path;
        let reading = &self.request.reading;
        let mut raw = RawFile::open(path, reading, &self.bytes_read, self.interrupt)?;
        let mut choices = choices.of_file(&self.input.file.path, path);
        let is_parquet = matches!(raw.contents, RawContents::Parquet);
        if is_parquet {
            // From here on its footer is trusted, and it is read in pieces.
            self.check_unchanged(&raw.input_file()?)?;
        }
        let copied = self.copy(&mut raw.contents, &mut choices, look);
        let copied = copied.and_then(|sink| Ok((sink, choices.finish()?)));
        if matches!(&copied, Err(error) if error.kind() == Kind::BadData) {
            // If the file was replaced, that explains all other errors.
            self.check_unchanged(&raw.input_file()?)?;
        }
        let (sink, mut counts) = copied?;
        counts.n_bytes_in = self.input.file.bytes;
        let Some(sink) = sink else {
            let written = None;
            return Ok(Done { written, counts });
        };
        if !is_parquet {
            self.check_unchanged(&raw.input_file()?)?;
        }
        let written = self.publish(sink)?;
        counts.n_bytes_out = written.bytes;
        let written = Some(written);
        Ok(Done { written, counts })
    }

    /// Copies what is chosen to a temporary; `None` if a text is left out.
    fn copy(
        &self,
        contents: &mut RawContents,
        choices: &mut FileChoices,
        look: &mut dyn FnMut(),
    ) -> Result<Option<Sink>, FilterError> {
        match contents {
            RawContents::Parquet => self.rows(choices, look).map(Some),
            RawContents::Lines(lines) => self.lines(lines, choices, look).map(Some),
            RawContents::Text(text) => self.text(text, choices),
        }
    }

    fn rows(&self, choices: &mut FileChoices, look: &mut dyn FnMut()) -> Result<Sink, FilterError> {
        let mut sink = self.sink()?;
        let file = RowFile::open(&self.input.path, &self.request.options)?;
        let before = self.bytes_read.load(Ordering::Relaxed);
        let mut on_share = |share: f64| {
            let n_bytes = (share * self.input.file.bytes as f64) as u64;
            self.bytes_read.store(before + n_bytes, Ordering::Relaxed);
            look();
        };
        let interrupt = self.interrupt;
        file.copy(choices, &mut sink, &self.output, interrupt, &mut on_share)?;
        Ok(sink)
    }

    fn lines(
        &self,
        lines: &mut RawLines,
        choices: &mut FileChoices,
        look: &mut dyn FnMut(),
    ) -> Result<Sink, FilterError> {
        let options = &self.request.options;
        let compression = options.compression.unwrap_or(lines.compression());
        let out = Compressor::new(self.sink()?, compression);
        let mut out = out.map_err(|source| self.write_fault(source))?;
        copy_lines(lines, choices, options, &mut out, &self.output, look)?;
        out.finish().map_err(|source| self.write_fault(source))
    }

    /// `None` if the text is left out.
    fn text(
        &self,
        text: &mut RawText,
        choices: &mut FileChoices,
    ) -> Result<Option<Sink>, FilterError> {
        if choices.decide(0, false)? == Decision::Drop {
            return Ok(None);
        }
        let mut sink = self.sink()?;
        let Some(compression) = self.request.options.compression else {
            copy_file(&self.input.path, &mut sink, &self.output)?;
            return Ok(Some(sink));
        };
        let out = Compressor::new(sink, compression);
        let mut out = out.map_err(|source| self.write_fault(source))?;
        copy_text(text, &mut out, &self.output)?;
        let sink = out.finish().map_err(|source| self.write_fault(source))?;
        Ok(Some(sink))
    }

    fn sink(&self) -> Result<Sink, FilterError> {
        make_dir(self.output.parent().unwrap_or(Path::new(".")))?;
        let partial = Partial::create(&self.output)?;
        Ok(BufWriter::with_capacity(WRITE_BYTES, partial))
    }

    fn check_unchanged(&self, now: &InputFile) -> Result<(), FilterError> {
        match now.blake3 == self.input.file.blake3 {
            true => Ok(()),
            false => Err(changed(
                self.input,
                "BLAKE3",
                &self.input.file.blake3,
                &now.blake3,
            )),
        }
    }

    /// Gives the output its final name. A file that an earlier run left there without a record is replaced.
    fn publish(&self, sink: Sink) -> Result<FileHash, FilterError> {
        let partial = sink.into_inner();
        let partial = partial.map_err(|error| self.write_fault(error.into_error()))?;
        let sealed = partial.seal()?;
        let hash = sealed.hash.clone();
        sealed.replace()?;
        Ok(hash)
    }

    fn write_fault(&self, source: std::io::Error) -> FilterError {
        StorageError::io("write", &self.output, source).into()
    }
}
