//! `saltworks verify`.

use indicatif::{BinaryBytes, HumanCount, ProgressBar, ProgressStyle};
use saltworks::shards::{self, Finding, ShardsError, VerifyOptions, VerifyReport};
use std::path::{Path, PathBuf};

/// Check a label set: checksums, schema, and every invariant of every row.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The label directory.
    labels: PathBuf,
    /// Print the report as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let report = verify_files(&args.labels)?;
    if args.json {
        anstream::println!("{}", serde_json::to_string(&report)?);
    } else {
        print(&args.labels, &report);
    }
    if report.is_clean() {
        return Ok(());
    }
    Err(ShardsError::Unsound {
        dir: args.labels,
        n_findings: report.n_findings,
    }
    .into())
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
