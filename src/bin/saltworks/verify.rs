//! `saltworks verify`.

use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print::{self, out};
use crate::common::progress::Display;
use crate::common::signals;
use indicatif::{BinaryBytes, HumanCount};
use saltworks::label::{self, DivergenceReport, LabelConfig, RelabelReport, TeacherReport};
use saltworks::shards::{self, Finding, LabelSet, ShardsError, VerifyOptions, VerifyReport};
use saltworks::teacher::ReduceChoice;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  saltworks verify labels
  saltworks verify labels --teacher model.onnx --tokens tokens";

/// Check a label set: checksums, schema, every invariant of every row, and the teacher itself.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The label directory.
    labels: PathBuf,
    /// Label a sample again with this teacher (the ONNX file that made the labels), and compare.
    /// Another teacher of the same vocabulary is a reference: how far the labels are from it is
    /// reported, as KL and top-1 agreement, which tells what quantising a teacher costs.
    #[arg(
        long,
        help_heading = "Against a teacher",
        value_name = "FILE",
        requires = "tokens"
    )]
    teacher: Option<PathBuf>,
    /// The token corpus that was labelled.
    #[arg(
        long,
        help_heading = "Against a teacher",
        value_name = "PATH",
        requires = "teacher"
    )]
    tokens: Option<PathBuf>,
    /// Sequences to label again.
    #[arg(long, help_heading = "Against a teacher", value_name = "N", default_value_t = 256, requires = "teacher",
        value_parser = clap::value_parser!(u64).range(1..))]
    sample: u64,
    /// Seed of the choice of sequences.
    #[arg(
        long,
        help_heading = "Against a teacher",
        default_value_t = 0,
        requires = "teacher"
    )]
    seed: u64,
    /// Where the teacher runs: auto, cpu, cuda, tensorrt, migraphx, rocm, openvino, coreml or
    /// directml; cuda:1 is the second device, and so with tensorrt, migraphx, rocm and directml.
    /// auto is cuda where it works, else cpu. Of these the project
    /// itself has run cpu, openvino by hand on a CPU, and no other.
    #[arg(
        long,
        help_heading = "Against a teacher",
        default_value = "auto",
        requires = "teacher"
    )]
    device: String,
    /// Where logits are reduced: auto, host, graph or cuda; see `saltworks help label`.
    #[arg(
        long,
        help_heading = "Against a teacher",
        value_name = "PLACE",
        default_value = "auto",
        requires = "teacher",
        hide_possible_values = true
    )]
    reduce: ReduceChoice,
    /// The ONNX Runtime library to use (otherwise searched; see `saltworks doctor`).
    #[arg(
        long,
        help_heading = "Against a teacher",
        value_name = "FILE",
        requires = "teacher"
    )]
    ort_lib: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    signals::end_on_signal()?;
    let report = verify_files(&args.labels)?;
    // Labels that are damaged say nothing about the teacher.
    let again = match (&args.teacher, &args.tokens) {
        (Some(teacher), Some(tokens)) if report.is_clean() => {
            Some(check_teacher(&args, teacher, tokens)?)
        }
        _ => None,
    };
    if args.json.is_asked {
        let both = serde_json::json!({ "files": report, "teacher": again });
        print::json(&both, false)?;
    } else {
        print(&args.labels, &report);
        again.iter().for_each(print_teacher);
    }
    let of_teacher = match again {
        Some(TeacherReport::Own(again)) => again.n_findings,
        // How far is too far is the user's to say.
        Some(TeacherReport::Other(_)) | None => 0,
    };
    let (dir, n_findings) = (args.labels, report.n_findings + of_teacher);
    let error = match (n_findings, report.n_unread) {
        (0, 0) => return Ok(()),
        (0, n_unread) => ShardsError::Unread { dir, n_unread },
        (n_findings, _) => ShardsError::Unsound { dir, n_findings },
    };
    Err(error.into())
}

fn check_teacher(args: &Args, teacher: &Path, tokens: &Path) -> Result<TeacherReport> {
    let set = LabelSet::open(&args.labels)?;
    let mut config = LabelConfig::of_set(&set, teacher, tokens)?;
    config.options.device.clone_from(&args.device);
    config.options.reduce = args.reduce;
    config.options.ort_lib.clone_from(&args.ort_lib);
    Ok(label::check_teacher(&set, &config, args.sample, args.seed)?)
}

fn print_teacher(report: &TeacherReport) {
    match report {
        TeacherReport::Own(report) => print_again(report),
        TeacherReport::Other(report) => print_divergence(report),
    }
}

fn print_divergence(report: &DivergenceReport) {
    out!(
        "another teacher made these labels; beside this one, over {} sequences ({} targets):",
        HumanCount(report.n_sequences),
        HumanCount(report.n_positions),
    );
    out!(
        "  KL(this || labels)  {:.6} nats a token (99% below {:.4}, largest {:.3}; kept ids and tail)",
        report.kl_nats_mean,
        report.kl_nats_p99,
        report.kl_nats_max,
    );
    out!(
        "  same best id        {:.2}%",
        100.0 * report.top1_agreement
    );
    let nll = report
        .labels_nll_mean
        .map_or_else(String::new, |nll| format!(", labels {nll:.4}"));
    out!(
        "  NLL of the targets  this {:.4}{nll} nats a token",
        report.reference_nll_mean,
    );
}

fn print_again(report: &RelabelReport) {
    for finding in &report.findings {
        out!("{finding}");
    }
    out!(
        "{} sequences ({} targets) labelled again: largest difference {:.2e} nats, {} ids differ by a tie, {} draws fell on other ids, {} findings",
        HumanCount(report.n_sequences),
        HumanCount(report.n_positions),
        report.max_difference_nats,
        report.n_tied_ids,
        report.n_moved_draws,
        report.n_findings,
    );
    out!(
        "tolerance {:.1e} nats and a step of the rounding ({} logits, a rounding of them {:.1e}; they moved by {:.1e} with the shape of a call)",
        report.tolerance_nats,
        report.logits_dtype,
        report.noise.rounding_nats,
        report.noise.shape_nats,
    );
    out!("{}", verdict(report));
}

/// Noise told from damage.
fn verdict(report: &RelabelReport) -> String {
    let here = report.checked_by.iter().map(|stamp| stamp.to_string());
    let here = here.collect::<String>();
    let made_by: Vec<String> = report.made_by.iter().map(|s| s.to_string()).collect();
    let made_by = made_by.join("; ");
    match (report.n_findings, report.is_identical()) {
        (0, true) => "every bit is the same".to_owned(),
        (0, false) if made_by == here => format!(
            "{} of {} sequences are the same bit for bit; the rest is within the noise of another processor",
            report.n_identical, report.n_sequences
        ),
        (0, false) => format!(
            "{} of {} sequences are the same bit for bit; the rest is within the noise of another runtime or device: made by {made_by}, checked by {here}",
            report.n_identical, report.n_sequences
        ),
        _ => "the findings are past any noise of this teacher: the labels are damaged, or made from other inputs than their plan says".to_owned(),
    }
}

fn verify_files(labels: &Path) -> Result<VerifyReport, ShardsError> {
    let display = Display::new(0, "shards");
    let report = shards::verify_files(labels, &VerifyOptions::default(), |progress| {
        display.show(
            || progress,
            false,
            |bar| {
                bar.set_length(progress.n_shards);
                bar.set_position(progress.n_shards_done);
                bar.set_message(BinaryBytes(progress.n_bytes).to_string());
            },
        );
    });
    display.finish();
    report
}

fn print(labels: &Path, report: &VerifyReport) {
    report.findings.iter().for_each(print_finding);
    let n_more = report.n_findings - report.findings.len() as u64;
    if n_more > 0 {
        out!("... and {} more findings", HumanCount(n_more));
    }
    report.unread.iter().for_each(print_finding);
    let verdict = match (report.n_findings, report.n_unread) {
        (0, 0) => "sound",
        (0, _) => "not all could be read",
        _ => "NOT sound",
    };
    out!(
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
    out!("{}{}", shard.unwrap_or_default(), finding.message);
}
