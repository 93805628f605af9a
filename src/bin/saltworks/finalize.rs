//! `saltworks finalize`.

use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print::{counted, out, say};
use crate::common::progress::Display;
use crate::common::signals;
use indicatif::BinaryBytes;
use saltworks::label;
use saltworks::shards::{self, DocumentsOutcome, LabelSet, ShardsError};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  saltworks finalize labels
  saltworks finalize labels --wait 3600";

/// Interval at which the directory is checked: short at first, then longer, to spare a file server.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Write the manifest of a label directory in which every shard is finished.
///
/// Also writes documents/: the sums and means of each document of the corpus over its labelled targets.
/// Their ids, files and bits per byte need the list of documents in the labelled corpus.
///
/// Also writes README.md, which describes the labels for people and for the `datasets` library. A
/// README.md that finalize did not write is left unchanged.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The label directory, or its URL.
    #[arg(value_name = "LABELS|URL")]
    labels: PathBuf,
    /// Accept shards made by different runtimes: labels from other ONNX Runtime versions, providers
    /// or instruction sets differ in their last bits.
    #[arg(long, help_heading = "Checks")]
    allow_mixed_runtime: bool,
    /// Wait until running tasks have finished every shard: at most this many seconds, or without a number as
    /// long as it takes.
    #[arg(long, help_heading = "Tasks", value_name = "SECONDS", num_args = 0..=1)]
    wait: Option<Option<u64>>,
    /// The token corpus that was labelled. Default: the path in label.toml.
    #[arg(long, help_heading = "Documents", value_name = "PATH|URL")]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    if let Some(seconds) = args.wait {
        signals::end_on_signal()?;
        wait(&args.labels, seconds.map(Duration::from_secs))?;
    }
    let finalized = label::finalize(
        &args.labels,
        args.allow_mixed_runtime,
        args.tokens.as_deref(),
    )?;
    let manifest = finalized.manifest;
    for note in &finalized.notes {
        say!("note: {note}");
    }
    if args.json.print(&manifest)? {
        return Ok(());
    }
    out!(
        "{}: {}, {}, {}, {}",
        args.labels.join(shards::MANIFEST_NAME).display(),
        counted(manifest.shards.len() as u64, "shard"),
        counted(manifest.n_rows, "sequence"),
        counted(manifest.n_targets, "target"),
        BinaryBytes(manifest.n_bytes),
    );
    if let DocumentsOutcome::Written(index) = &finalized.documents {
        let whole = match index.has_sources {
            true => format!(", {} of them fully labelled", index.n_whole),
            false => String::new(),
        };
        out!(
            "{}: {}{whole}",
            args.labels.join("documents").display(),
            counted(index.n_documents, "document")
        );
        if let Some(note) = index.spelling.and_then(|spelling| spelling.note()) {
            say!("note: {note}");
        }
    }
    if shards::card_state(&args.labels)? == shards::CardState::Theirs {
        say!(
            "note: {} was not written by finalize, and is left unchanged",
            args.labels.join(shards::CARD_NAME).display()
        );
    }
    for runtime in &manifest.runtimes {
        out!("made by {runtime}");
    }
    Ok(())
}

/// Waits until every shard is finished, or for `limit`: then finalize reports what is missing.
fn wait(labels: &Path, limit: Option<Duration>) -> Result<()> {
    let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
    let mut display = None;
    loop {
        let left = limit.map(|limit| limit.saturating_sub(began.elapsed()));
        let is_over = left.is_some_and(|left| left.is_zero());
        // Opened again each time: the first task may still have to write the plan, and a set may be
        // extended.
        let is_finished = match LabelSet::open(labels) {
            Ok(set) => {
                let n_shards = u64::from(set.n_shards());
                let n_finished = set.n_finished()?;
                let display = display.get_or_insert_with(|| Display::new(n_shards, "shards"));
                display.at(n_finished);
                n_finished == n_shards
            }
            Err(ShardsError::NoPlan { .. }) if !is_over => false,
            Err(error) => return Err(error.into()),
        };
        if is_finished || is_over {
            break;
        }
        std::thread::sleep(left.map_or(pause, |left| left.min(pause)));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    display.as_ref().inspect(|display| display.finish());
    Ok(())
}
