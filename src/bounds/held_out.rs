//! The teacher on its training text, compared with held-out text.

use super::error::BoundsError;
use super::estimate::Estimate;
use super::figures::TeacherFigures;
use crate::shards::{LabelSet, Plan};
use serde::{Deserialize, Serialize};

/// How much better a teacher looks on its own training text.
///
/// The gap is due to memorized text and to differences between the two texts. Only for texts of one kind, such
/// as a random split, is it due to memorized text alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HeldOut {
    /// Figures of the held-out text; only bounds from held-out text are valid.
    pub figures: TeacherFigures,
    /// Nats: mean NLL on held-out text minus mean NLL on the training text.
    pub nll_gap: Estimate,
    /// Accuracy on the training text minus accuracy on held-out text; null without the group `stats`.
    pub accuracy_gap: Option<Estimate>,
    /// Nats to set `kd.auto_margin` to: the gap if it exceeds 0 by more than two standard errors, else null.
    pub auto_margin: Option<f64>,
    /// Whether one of the two sets labels only a selection. Unless that was drawn at random, its text is not a
    /// fair sample, and the gap is also due to the selection.
    #[serde(default)]
    pub of_selection: bool,
}

/// Compares the figures of two sets that [`check_comparable`] accepts.
fn held_out(training: &TeacherFigures, held_out: TeacherFigures, of_selection: bool) -> HeldOut {
    let nll_gap = held_out.nll.minus(&training.nll);
    let accuracies = training.accuracy.zip(held_out.accuracy);
    let is_gap = nll_gap.mean > 0.0 && nll_gap.beyond_noise() > 0.0;
    HeldOut {
        nll_gap,
        accuracy_gap: accuracies.map(|(ours, theirs)| ours.minus(&theirs)),
        auto_margin: is_gap.then_some(nll_gap.mean),
        figures: held_out,
        of_selection,
    }
}

/// Compares the set `other` of held-out text with `set`.
///
/// # Errors
/// Sets of different teachers or kinds of sequences; sets with sequences in common.
pub fn compare_held_out(
    set: &LabelSet,
    figures: &TeacherFigures,
    other: &LabelSet,
    other_figures: TeacherFigures,
) -> Result<HeldOut, BoundsError> {
    check_comparable(set, other)?;
    let mut plans = set.segments.iter().chain(&other.segments);
    let of_selection = plans.any(|plan| plan.sequences.selection.is_some());
    Ok(held_out(figures, other_figures, of_selection))
}

fn check_comparable(set: &LabelSet, other: &LabelSet) -> Result<(), BoundsError> {
    // The segments of a set differ only in their ranges.
    let fields = described(&set.segments[0])
        .into_iter()
        .zip(described(&other.segments[0]));
    for ((field, expected), (_, got)) in fields {
        if expected != got {
            return Err(BoundsError::NotComparable {
                labels: set.dir.clone(),
                held_out: other.dir.clone(),
                field,
                expected,
                got,
            });
        }
    }
    let mut pairs = set
        .segments
        .iter()
        .flat_map(|a| other.segments.iter().map(move |b| (a, b)));
    match pairs.any(|(a, b)| have_sequences_in_common(a, b)) {
        false => Ok(()),
        true => Err(BoundsError::NotHeldOut {
            labels: set.dir.clone(),
            held_out: other.dir.clone(),
        }),
    }
}

/// The fields, with values, that a mean NLL depends on besides the text.
fn described(plan: &Plan) -> [(&'static str, String); 7] {
    let sequences = &plan.sequences;
    let tokenizer = plan.tokenizer.as_ref();
    [
        ("teacher.fingerprint", plan.teacher.fingerprint.clone()),
        (
            "tokenizer.fingerprint",
            tokenizer.map_or("unknown".to_owned(), |known| known.fingerprint.clone()),
        ),
        ("sequences.seq_len", sequences.seq_len.to_string()),
        ("sequences.packing", format!("{:?}", sequences.packing)),
        ("sequences.attention", format!("{:?}", sequences.attention)),
        (
            "sequences.sequence_bos",
            format!("{:?}", sequences.sequence_bos),
        ),
        (
            "signals.mask_vocab_padding",
            plan.signals.mask_vocab_padding.to_string(),
        ),
    ]
}

/// Whether both plans label some sequence of the same corpus. Two selections may have none in common even if
/// their ranges overlap.
pub fn have_sequences_in_common(a: &Plan, b: &Plan) -> bool {
    let (x, y) = (&a.sequences, &b.sequences);
    let mut common = x.start.max(y.start)..x.end.min(y.end);
    a.corpus.fingerprint == b.corpus.fingerprint
        && common.any(|seq_id| a.has_sequence(seq_id) && b.has_sequence(seq_id))
}
