//! `saltworks demo`: the whole chain from nothing, in one directory.
//!
//! ```text
//! corpus ─▶ tokenizer ─▶ tokens ─▶ SLM ─▶ scores ─▶ selection ─▶ labels ─▶ LLMs with and without ─▶ report
//! ```
//!
//! Every stage but the first is a command that a user could type; the demo prints it and runs it.
//! Finished stages are not repeated, so a stopped demo resumes with the same command.

#[cfg(feature = "train")]
mod chain;
#[cfg(feature = "train")]
mod configs;
mod ngram;
#[cfg(feature = "train")]
mod story;
#[cfg(feature = "train")]
mod texts;

use crate::common::arguments::OUTPUT;
use crate::common::exit::Result;
use crate::common::progress;
use saltworks::demo::DemoError;
use saltworks::storage::{self, StorageError};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  saltworks demo --quick --output demo
  saltworks demo --corpus books/*.txt --output demo";

/// Run every step, from text to a report, in one directory: tokenizer, small model, labels,
/// selection, and larger models with and without labels. On generated text or yours.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory for all output; created if it does not exist.
    #[arg(long, help_heading = OUTPUT, short, value_name = "DIR")]
    output: PathBuf,
    /// Your text instead of generated text: files, directories or globs of .jsonl, .json, .ndjson
    /// or .txt (plain, .gz or .zst) or .parquet. In JSON and Parquet the field `text` is read.
    #[arg(long, help_heading = "What is done", value_name = "PATH", num_args = 1..)]
    corpus: Vec<String>,
    /// Megabytes of text to generate, or to read from yours. Default: 8, with --teacher ngram 3.
    #[arg(long, help_heading = "What is done", value_parser = clap::value_parser!(u64).range(1..=1000))]
    megabytes: Option<u64>,
    /// Seed of the generated language and stories, and of the initial weights.
    #[arg(long, help_heading = "What is done", default_value_t = 1)]
    seed: u64,
    /// The teacher.
    #[arg(long, help_heading = "What is done", value_enum, default_value_t = Teacher::DEFAULT)]
    teacher: Teacher,
    /// Tiny models and few steps: shows in a minute that everything runs. Its numbers mean nothing.
    #[arg(long, help_heading = "What is done")]
    quick: bool,
}

/// The teacher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Teacher {
    /// A small language model, trained here; larger models are then trained with and without its
    /// labels.
    #[cfg(feature = "train")]
    Trained,
    /// A trigram model of generated text, counted in a second: labels only, no training.
    Ngram,
}

impl Teacher {
    #[cfg(feature = "train")]
    const DEFAULT: Self = Teacher::Trained;
    #[cfg(not(feature = "train"))]
    const DEFAULT: Self = Teacher::Ngram;
}

#[cfg_attr(not(feature = "train"), allow(unused_variables))]
pub(crate) fn run(args: Args, messages: progress::Options) -> Result<()> {
    match args.teacher {
        #[cfg(feature = "train")]
        Teacher::Trained => chain::run(&args, &messages.to_arguments()),
        Teacher::Ngram => ngram::run(&args),
    }
}

/// Marks the directory as the demo of these settings. A directory with other content is left alone,
/// but a demo that has produced nothing yet, for example because of a wrong --corpus, may start
/// with other settings.
fn claim(dir: &Path, settings: &serde_json::Value) -> Result<()> {
    let path = dir.join("demo.json");
    let settings = format!("{settings:#}\n");
    let existing = std::fs::read_to_string(&path).ok();
    if existing.as_ref() == Some(&settings) {
        return Ok(());
    }
    let io = |action| move |source| StorageError::io(action, dir, source);
    std::fs::create_dir_all(dir).map_err(io("make"))?;
    let entries = std::fs::read_dir(dir).map_err(io("list"))?;
    let own = usize::from(existing.is_some());
    if entries.count() > own {
        let dir = dir.to_path_buf();
        return Err(match existing {
            Some(_) => DemoError::OtherDemo { dir }.into(),
            None => DemoError::NotADemo { dir }.into(),
        });
    }
    Ok(storage::replace(&path, settings.as_bytes())?)
}
