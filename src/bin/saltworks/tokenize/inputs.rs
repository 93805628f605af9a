//! Which documents to read; the same for `tokenize` and `tokenizer train`.

use crate::common::exit::Result;
use crate::common::print::say;
use saltworks::corpus::{
    CorpusError, CorpusOptions, DEFAULT_TEXT_FIELD, DEFAULT_ZSTD_WINDOW_LOG_MAX, DocumentFormat,
    Documents, InputFiles, LeftOut, Tally, expand_inputs, mixed_splits,
};
use saltworks::interrupt::Interrupt;
use saltworks::storage::{PlaceError, check_apart, is_url, resolved_path};
use std::ffi::OsString;
use std::path::Path;

/// Which files.
#[derive(clap::Args)]
#[command(next_help_heading = "Documents")]
pub(crate) struct FileArgs {
    /// Files, directories or globs: JSON lines (.jsonl, .json, .jsonlines, .ndjson) or text (.txt, .md,
    /// source code), plain or compressed (.gz, .zst, .xz, .bz2, .lz4), or .parquet. Files without an
    /// extension are recognised by their contents. URLs of object stores work too, with globs in
    /// quotes.
    #[arg(long, value_name = "PATH|URL", required = true, num_args = 1..)]
    input: Vec<OsString>,
    /// Format of all input files, regardless of their names.
    #[arg(long, value_name = "FORMAT")]
    format: Option<DocumentFormat>,
    /// Maximum window of a .zst file, as log2 of its bytes of memory: 31 reads files of `zstd
    /// --long=31`.
    #[arg(long, value_name = "N", default_value_t = DEFAULT_ZSTD_WINDOW_LOG_MAX,
          value_parser = clap::value_parser!(u32).range(10..=31))]
    zstd_window_log_max: u32,
}

/// Which documents of them.
#[derive(clap::Args)]
#[command(next_help_heading = "Documents")]
pub(crate) struct InputArgs {
    #[command(flatten)]
    files: FileArgs,
    /// JSON field or Parquet column with the text.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TEXT_FIELD)]
    text_field: String,
    /// Skip and count lines that are not documents, instead of stopping at the first.
    #[arg(long)]
    skip_bad_lines: bool,
}

/// Documents to read, and files that were skipped.
pub(crate) struct Opened {
    pub(crate) documents: Documents,
    pub(crate) left_out: LeftOut,
}

impl FileArgs {
    /// Refuses an output that is an input, or that a second reading of the inputs would find.
    pub(crate) fn check_output(&self, output: &Path) -> Result<(), PlaceError> {
        self.input.iter().try_for_each(|input| {
            let input = Path::new(input);
            let text = input.to_string_lossy();
            let is_local = !is_url(input);
            let is_pattern = text.contains(['*', '?', '[']) && !(is_local && input.exists());
            match (is_pattern, input.parent()) {
                (false, _) => check_apart(output, input),
                // What is written there could match it.
                (true, Some(folder)) if resolved_path(folder) == resolved_path(output) => {
                    check_apart(output, folder)
                }
                (true, _) => Ok(()),
            }
        })
    }

    /// Finds the files.
    pub(crate) fn find(&self) -> Result<InputFiles, CorpusError> {
        expand_inputs(&self.input, self.format)
    }

    /// How they are read, with defaults for the rest.
    pub(crate) fn reading(&self) -> CorpusOptions {
        CorpusOptions {
            format: self.format,
            zstd_window_log_max: self.zstd_window_log_max,
            ..CorpusOptions::default()
        }
    }
}

impl InputArgs {
    /// Refuses an output that is an input, or that a second reading of the inputs would find.
    pub(crate) fn check_output(&self, output: &Path) -> Result<(), PlaceError> {
        self.files.check_output(output)
    }

    /// Finds the files; reading them ends when `interrupt` is requested.
    ///
    /// Of every document the id in `id_field` is kept, if one is named.
    pub(crate) fn open(&self, interrupt: &Interrupt, id_field: Option<&str>) -> Result<Opened> {
        let options = CorpusOptions {
            id_field: id_field.map(str::to_owned),
            text_field: self.text_field.clone(),
            skip_bad_lines: self.skip_bad_lines,
            ..self.files.reading()
        };
        let files = self.files.find()?;
        if let Some(note) = mixed_splits(&files.paths) {
            say!("note: {note}");
        }
        Ok(Opened {
            documents: Documents::open(files.paths, options)?.with_interrupt(interrupt),
            left_out: files.left_out,
        })
    }
}

/// Prints which inputs gave no document; at the end, where it is noticed.
pub(crate) fn print_notes(left_out: &LeftOut, tally: &Tally) {
    for note in left_out.notes() {
        say!("note: {note}");
    }
    if tally.n_empty_files > 0 {
        let n = tally.n_empty_files;
        let files = if n == 1 { "file has" } else { "files have" };
        say!("note: {n} input {files} no document");
    }
}
