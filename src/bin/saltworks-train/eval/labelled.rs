//! `saltworks-train eval --labels`.

use super::{Args, number, shown};
use crate::common::exit::Result;
use crate::common::print::{self, out};
use crate::opened::{OpenedModel, check_memory, pool};
use saltworks::interrupt::Interrupt;
use saltworks::train::data::{LabelSource, TokenizerFacts};
use saltworks::train::eval::{
    LabelledOptions, LabelledReport, evaluate_labelled, labelled_capacity, open_labelled,
};
use saltworks::train::model::{Network, Params};
use saltworks::train::run::labelled_identity;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Which labels, and which positions are easy.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Labels")]
pub(super) struct LabelArgs {
    /// Labels instead of tokens (a directory of `saltworks label` with the group stats): compares
    /// the model with its teacher on the same positions, overall and by the teacher's NLL.
    #[arg(long, value_name = "LABELS|URL", conflicts_with_all = ["packing", "seq_len", "sequence_bos", "max_sequences"])]
    pub(super) labels: Option<PathBuf>,

    /// Only the sequences that this selection keeps (Parquet: `seq_id`, `kept`).
    #[arg(long, value_name = "FILE|URL", requires = "labels", conflicts_with_all = ["tokens", "text", "probe"])]
    selection: Option<PathBuf>,

    /// Only sequences A to B - 1.
    #[arg(long, value_name = "A..B", requires = "labels", conflicts_with_all = ["tokens", "text", "probe"], value_parser = parse_range)]
    sequences: Option<SeqIds>,

    /// Upper bounds, in nats, of the teacher's NLL for easy and for medium positions. Default: those
    /// that divide the positions into thirds.
    #[arg(long, value_name = "A,B", requires = "labels", conflicts_with_all = ["tokens", "text", "probe"], value_parser = parse_boundaries)]
    bucket_borders: Option<Boundaries>,
}

#[derive(Debug, Clone)]
struct SeqIds(Range<u64>);

#[derive(Debug, Clone, Copy)]
struct Boundaries([f64; 2]);

fn parse_range(text: &str) -> Result<SeqIds, String> {
    let ends = text.split_once("..");
    let parsed = ends.and_then(|(a, b)| Some(a.parse().ok()?..b.parse().ok()?));
    let range = parsed.filter(|range: &Range<u64>| !range.is_empty());
    let range = range.map(SeqIds);
    range.ok_or_else(|| "expected A..B with A below B, such as 0..500".to_owned())
}

fn parse_boundaries(text: &str) -> Result<Boundaries, String> {
    let ends = text.split_once(',');
    let parsed = ends.and_then(|(a, b)| Some([a.trim().parse().ok()?, b.trim().parse().ok()?]));
    let rising = parsed.filter(|[a, b]: &[f64; 2]| a.is_finite() && b.is_finite() && a <= b);
    let boundaries = rising.map(Boundaries);
    boundaries.ok_or_else(|| "expected two increasing numbers of nats, such as 0.5,3".to_owned())
}

/// Evaluates on `dir` and prints what came of it.
pub(super) fn run(
    args: &Args,
    dir: &Path,
    opened: &OpenedModel,
    params: Params,
    interrupt: &Interrupt,
) -> Result<()> {
    let labels = open(args, dir, opened)?;
    let pool = pool(args.threads.threads)?;
    let n_threads = pool.current_num_threads();
    let capacity = labelled_capacity(&opened.spec, &labels, args.batch_tokens, n_threads)?;
    check_memory(&opened.spec, &capacity, "lower --batch-tokens")?;
    let options = LabelledOptions {
        boundaries: args
            .labels
            .bucket_borders
            .map(|Boundaries(boundaries)| boundaries),
        seq_ids: args.labels.sequences.clone().map(|SeqIds(range)| range),
    };
    // At most: the last sequence of a corpus, or of a document, may be shorter.
    let n_targets = labels.n_sequences() * u64::from(labels.view().seq_len);
    let mut network = Network::new(params, capacity);
    let report = shown(&pool, n_targets, interrupt, |on_progress| {
        evaluate_labelled(&mut network, &labels, &options, on_progress)
    })?;
    print(args, opened, &labels, &report)
}

/// The labels, found to be of the model's tokenizer as far as either is known.
fn open(args: &Args, dir: &Path, opened: &OpenedModel) -> Result<LabelSource> {
    let labels = open_labelled(dir, args.labels.selection.as_deref())?;
    print::notes(labels.note());
    let seen = opened.seen(&labelled_identity(&labels));
    print::notes(seen.map(|seen| seen.note(&dir.display().to_string())));
    if let Some((_, path)) = &opened.tokenizer {
        print::notes(labels.check_tokenizer(&TokenizerFacts::of_tokenizer(path)?)?);
    }
    Ok(labels)
}

fn print(
    args: &Args,
    opened: &OpenedModel,
    labels: &LabelSource,
    report: &LabelledReport,
) -> Result<()> {
    if args.json.is_asked {
        let mut json = serde_json::to_value(report).expect("plain fields");
        json["model"] = opened.place.display().to_string().into();
        json["labels"] = labels.dir().display().to_string().into();
        print::json(&json, false)?;
        return Ok(());
    }
    out!("model        {}", opened.place.display());
    out!("labels       {}", labels.dir().display());
    out!("sequences    {}", report.n_sequences);
    out!("targets      {}", report.n_targets);
    out!("mean NLL     {:.4} nats", report.nll);
    out!("teacher's    {:.4} nats", report.teacher_nll);
    super::print_calibration(Some(report.accuracy), Some(report.ece));
    out!();
    out!(
        "{:<8}  {:<22}  {:>10}  {:>8}  {:>9}",
        "bucket",
        "teacher's NLL (nats)",
        "targets",
        "mean NLL",
        "teacher's"
    );
    let [easy, medium] = report.bucket_borders;
    let ranges = [
        format!("up to {easy:.4}"),
        format!("up to {medium:.4}"),
        "above".to_owned(),
    ];
    for (bucket, range) in report.buckets.iter().zip(ranges) {
        out!(
            "{:<8}  {range:<22}  {:>10}  {:>8}  {:>9}",
            bucket.name,
            bucket.n_targets,
            number(bucket.nll),
            number(bucket.teacher_nll)
        );
    }
    Ok(())
}
