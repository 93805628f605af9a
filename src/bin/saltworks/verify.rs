//! `saltworks verify`.

use super::progress::show_graph;
use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print::{self, counted, out};
use crate::common::progress::Display;
use crate::common::signals;
use indicatif::{BinaryBytes, HumanCount};
use saltworks::label::{self, DivergenceReport, LabelConfig, RelabelReport, TeacherReport};
use saltworks::onnx::decoder::WeightFormat;
use saltworks::shards::{self, Finding, LabelSet, ShardsError, VerifyOptions, VerifyReport};
use saltworks::teacher::ReduceChoice;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  saltworks verify labels
  saltworks verify labels --teacher model.onnx --tokens tokens";

/// Check a label set: checksums, schema, every invariant of every row, and, with --teacher, the
/// values.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The label directory, or its URL.
    #[arg(value_name = "LABELS|URL")]
    labels: PathBuf,
    #[command(flatten)]
    teacher: TeacherArgs,
    #[command(flatten)]
    json: Json,
}

/// The teacher that the labels are compared with.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Against a teacher")]
struct TeacherArgs {
    /// Label a sample again with this teacher (the checkpoint or ONNX file that made the labels), and compare.
    /// With another teacher of the same vocabulary, print how far the labels are from it (KL, top-1
    /// agreement): this measures the cost of quantising a teacher.
    #[arg(long, value_name = "PATH|URL", requires = "tokens")]
    teacher: Option<PathBuf>,
    /// Directory for the graph of a checkpoint. Default: teacher-cache, next to the labels.
    #[arg(long, value_name = "DIR", requires = "teacher")]
    teacher_cache: Option<PathBuf>,
    /// Type in which the matrices of a checkpoint are stored: f32, f16, bf16 or int8. Default: that of the
    /// labels' own checkpoint, else f32.
    #[arg(
        long,
        value_name = "TYPE",
        requires = "teacher",
        hide_possible_values = true
    )]
    teacher_weights: Option<WeightFormat>,
    /// The token corpus that was labelled.
    #[arg(long, value_name = "PATH|URL", requires = "teacher")]
    tokens: Option<PathBuf>,
    /// Sequences to label again.
    #[arg(long, value_name = "N", default_value_t = 256, requires = "teacher",
        value_parser = clap::value_parser!(u64).range(1..))]
    sample: u64,
    /// Seed that chooses the sequences.
    #[arg(long, default_value_t = 0, requires = "teacher")]
    seed: u64,
    /// Where the teacher runs: auto, cpu, cuda, tensorrt, migraphx, rocm, openvino, coreml or
    /// directml. cuda:1 is the second CUDA device; tensorrt, migraphx, rocm and directml take
    /// numbers too. auto is cuda if it works, else cpu. This project has tested cpu, and openvino
    /// by hand on a CPU; no other.
    #[arg(long, default_value = "auto", requires = "teacher")]
    device: String,
    /// Where logits are reduced: auto, host, graph or cuda; see `saltworks help label`.
    #[arg(
        long,
        value_name = "PLACE",
        default_value = "auto",
        requires = "teacher",
        hide_possible_values = true
    )]
    reduce: ReduceChoice,
    /// ONNX Runtime's shared library. Default: searched for; see `saltworks doctor`.
    #[arg(long, value_name = "FILE", requires = "teacher")]
    ort_lib: Option<PathBuf>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    signals::end_on_signal()?;
    let report = verify_files(&args.labels)?;
    // Damaged labels say nothing about the teacher.
    let again = match (&args.teacher.teacher, &args.teacher.tokens) {
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
        // The user decides how large a difference is acceptable.
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
    let (set, args) = (LabelSet::open(&args.labels)?, &args.teacher);
    let mut config = LabelConfig::of_set(&set, teacher, tokens)?;
    config.options.teacher_cache.clone_from(&args.teacher_cache);
    let weights = args.teacher_weights.or(config.options.teacher_weights);
    config.options.teacher_weights = weights;
    config.options.device.clone_from(&args.device);
    config.options.reduce = args.reduce;
    config.options.ort_lib.clone_from(&args.ort_lib);
    let (sample, seed) = (args.sample, args.seed);
    Ok(label::check_teacher(
        &set,
        &config,
        sample,
        seed,
        &show_graph,
    )?)
}

fn print_teacher(report: &TeacherReport) {
    match report {
        TeacherReport::Own(report) => print_relabelled(report),
        TeacherReport::Other(report) => print_divergence(report),
    }
}

fn print_divergence(report: &DivergenceReport) {
    out!(
        "these labels were made by another teacher; compared with this one, over {} sequences ({} targets):",
        HumanCount(report.n_sequences),
        HumanCount(report.n_positions),
    );
    out!(
        "  KL(this || labels)  {:.6} nats/token (99% below {:.4}, max {:.3}; top-k ids and tail)",
        report.kl_nats_mean,
        report.kl_nats_p99,
        report.kl_nats_max,
    );
    out!(
        "  same top id         {:.2}%",
        100.0 * report.top1_agreement
    );
    let nll = report
        .labels_nll_mean
        .map_or_else(String::new, |nll| format!(", labels {nll:.4}"));
    out!(
        "  NLL of the targets  this {:.4}{nll} nats/token",
        report.reference_nll_mean,
    );
}

fn print_relabelled(report: &RelabelReport) {
    for finding in &report.findings {
        out!("{finding}");
    }
    out!(
        "{} ({}) labelled again: largest difference {:.2e} nats, {} differ by a tie, {} have different ids, {}",
        counted(report.n_sequences, "sequence"),
        counted(report.n_positions, "target"),
        report.max_difference_nats,
        counted(report.n_tied_ids, "id"),
        counted(report.n_moved_draws, "sample"),
        counted(report.n_findings, "finding"),
    );
    out!(
        "tolerance {:.1e} nats plus one rounding step of the stored values ({} logits, rounding error {:.1e}; measured effect of a call's shape {:.1e})",
        report.tolerance_nats,
        report.logits_dtype,
        report.noise.rounding_nats,
        report.noise.shape_nats,
    );
    out!("{}", verdict(report));
}

/// Distinguishes noise from damage.
fn verdict(report: &RelabelReport) -> String {
    let here = report.checked_by.iter().map(|stamp| stamp.to_string());
    let here = here.collect::<String>();
    let made_by: Vec<String> = report.made_by.iter().map(|s| s.to_string()).collect();
    let made_by = made_by.join("; ");
    match (report.n_findings, report.is_identical()) {
        (0, true) => "all bits are identical".to_owned(),
        (0, false) if made_by == here => format!(
            "{} of {} sequences are identical; the others differ as expected between processors",
            report.n_identical, report.n_sequences
        ),
        (0, false) => format!(
            "{} of {} sequences are identical; the others differ as expected between runtimes or devices: made by {made_by}, checked by {here}",
            report.n_identical, report.n_sequences
        ),
        _ => "the differences are larger than this teacher's numerical noise: the labels are damaged, or were not made from the inputs in their plan".to_owned(),
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
        out!("... and {} more", counted(n_more, "finding"));
    }
    report.unread.iter().for_each(print_finding);
    let verdict = match (report.n_findings, report.n_unread) {
        (0, 0) => "sound",
        (0, _) => "some files could not be read",
        _ => "NOT sound",
    };
    out!(
        "{}: {}, {}, {}, {}: {verdict}",
        labels.display(),
        counted(report.n_shards, "shard"),
        counted(report.n_rows, "sequence"),
        counted(report.n_targets, "target"),
        BinaryBytes(report.n_bytes),
    );
}

fn print_finding(finding: &Finding) {
    let shard = finding.shard.map(|shard| format!("shard {shard}: "));
    out!("{}{}", shard.unwrap_or_default(), finding.message);
}
