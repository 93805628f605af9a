//! `saltworks verify`.

use indicatif::{BinaryBytes, HumanCount, ProgressBar, ProgressStyle};
use saltworks::label::{self, LabelConfig, RELABEL_TOLERANCE_NATS, RelabelReport};
use saltworks::shards::{self, Finding, LabelSet, ShardsError, VerifyOptions, VerifyReport};
use std::path::{Path, PathBuf};

/// Check a label set: checksums, schema, every invariant of every row, and the teacher itself.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The label directory.
    labels: PathBuf,
    /// Label a sample again with this teacher (the ONNX file that made the labels), and compare.
    #[arg(long, value_name = "FILE", requires = "tokens")]
    teacher: Option<PathBuf>,
    /// The token corpus that was labelled.
    #[arg(long, value_name = "PATH", requires = "teacher")]
    tokens: Option<PathBuf>,
    /// Sequences to label again.
    #[arg(long, value_name = "N", default_value_t = 256, requires = "teacher")]
    sample: u64,
    /// Seed of the choice of sequences.
    #[arg(long, default_value_t = 0, requires = "teacher")]
    seed: u64,
    /// Where the teacher runs: auto, cpu, cuda or cuda:N.
    #[arg(long, default_value = "auto", requires = "teacher")]
    device: String,
    /// The ONNX Runtime library to use (otherwise searched; see `saltworks doctor`).
    #[arg(long, value_name = "FILE", requires = "teacher")]
    ort_lib: Option<PathBuf>,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let report = verify_files(&args.labels)?;
    // Labels that are damaged say nothing about the teacher.
    let again = match (&args.teacher, &args.tokens) {
        (Some(teacher), Some(tokens)) if report.is_clean() => {
            Some(relabel(&args, teacher, tokens)?)
        }
        _ => None,
    };
    if args.json {
        let both = serde_json::json!({ "files": report, "teacher": again });
        anstream::println!("{both}");
    } else {
        print(&args.labels, &report);
        again.iter().for_each(print_again);
    }
    let n_findings = report.n_findings + again.map_or(0, |again| again.n_findings);
    if n_findings == 0 {
        return Ok(());
    }
    Err(ShardsError::Unsound {
        dir: args.labels,
        n_findings,
    }
    .into())
}

fn relabel(args: &Args, teacher: &Path, tokens: &Path) -> anyhow::Result<RelabelReport> {
    let set = LabelSet::open(&args.labels)?;
    let config = LabelConfig {
        device: args.device.clone(),
        ort_lib: args.ort_lib.clone(),
        ..LabelConfig::of_set(&set, teacher, tokens)
    };
    Ok(label::relabel(&set, &config, args.sample, args.seed)?)
}

fn print_again(report: &RelabelReport) {
    for finding in &report.findings {
        anstream::println!("{finding}");
    }
    anstream::println!(
        "{} sequences ({} targets) labelled again: largest difference {:.2e} nats (tolerance {RELABEL_TOLERANCE_NATS:.0e} and a step of the rounding), {} ids differ by a tie, {} findings",
        HumanCount(report.n_sequences),
        HumanCount(report.n_positions),
        report.max_difference_nats,
        report.n_tied_ids,
        report.n_findings,
    );
}

/// Checks the files, with a bar on a terminal.
fn verify_files(labels: &Path) -> Result<VerifyReport, ShardsError> {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} shards {msg}")
        .expect("the template is a constant");
    let bar = ProgressBar::new(0).with_style(style);
    let report = shards::verify_files(labels, &VerifyOptions::default(), |progress| {
        bar.set_length(progress.n_shards);
        bar.set_position(progress.n_shards_done);
        bar.set_message(BinaryBytes(progress.n_bytes).to_string());
    });
    bar.finish_and_clear();
    report
}

fn print(labels: &Path, report: &VerifyReport) {
    report.findings.iter().for_each(print_finding);
    let n_more = report.n_findings - report.findings.len() as u64;
    if n_more > 0 {
        anstream::println!("... and {} more findings", HumanCount(n_more));
    }
    let verdict = if report.is_clean() {
        "sound"
    } else {
        "NOT sound"
    };
    anstream::println!(
        "{}: {} shards, {} sequences, {} targets, {}: {verdict}",
        labels.display(),
        HumanCount(report.n_shards),
        HumanCount(report.n_rows),
        HumanCount(report.n_targets),
        BinaryBytes(report.n_bytes),
    );
}

fn print_finding(finding: &Finding) {
    let shard = finding.shard.map(|shard| format!("shard {shard}: "));
    anstream::println!("{}{}", shard.unwrap_or_default(), finding.message);
}
