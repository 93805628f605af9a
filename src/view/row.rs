//! One row for people to read, and as JSON.

use super::Surprise;
use super::pieces::{Span, spans};
use super::scores::named_scores;
use crate::shards::Row;
use serde::{Serialize, Serializer};
use std::ops::Range;

/// How ids become text: functions, so that nothing here depends on a kind of tokenizer.
#[derive(Clone, Copy)]
pub struct TokenNames<'a> {
    /// One token as readable text.
    pub text: &'a dyn Fn(u32) -> String,
    /// The bytes that one token adds to the text.
    pub bytes: &'a dyn Fn(u32) -> Vec<u8>,
    /// A sequence of tokens as text.
    pub decode: &'a dyn Fn(&[u32]) -> String,
}

/// A labelled sequence with its text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RowView {
    /// Number of the sequence in the view.
    pub seq_id: u64,
    /// Predicted positions.
    pub n_targets: u32,
    /// Selection scores by column name; null if no position qualified.
    #[serde(serialize_with = "as_object")]
    pub scores: Vec<(&'static str, Option<f64>)>,
    /// Documents in the sequence, and the offset where each starts.
    pub documents: Vec<DocumentStart>,
    /// The whole sequence decoded.
    pub text: String,
    /// Tokens of the requested stretch.
    pub tokens: Vec<TokenView>,
}

/// Where a document starts in a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct DocumentStart {
    /// Token offset in the sequence; 0 for the first, which may have begun earlier.
    pub offset: u32,
    /// Number of the document in the corpus.
    pub doc_index: u64,
}

/// One token, with the teacher's values. They are null for the first token of a sequence, which nothing
/// predicts, and if the label set does not have their group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TokenView {
    /// Offset in the sequence.
    pub offset: u32,
    /// Token id.
    pub id: u32,
    /// The token as readable text.
    pub text: String,
    /// Log-probability under the full softmax, nats.
    pub logprob: Option<f32>,
    /// The same as a probability.
    pub prob: Option<f32>,
    /// How many ids the teacher ranked above it.
    pub rank: Option<u32>,
    /// Entropy of the teacher's full distribution at this position, nats.
    pub entropy: Option<f32>,
    /// Probability outside the stored alternatives.
    pub tail_mass: Option<f32>,
    /// The teacher's top ids, by decreasing probability.
    pub alternatives: Vec<Alternative>,
    /// Ids drawn at this position, by decreasing count; empty if the set has no `samples`.
    pub draws: Vec<Drawn>,
}

/// One id that was drawn from the teacher's distribution.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drawn {
    /// Token id.
    pub id: u32,
    /// The token as readable text.
    pub text: String,
    /// How many of the position's draws.
    pub count: u16,
}

/// One of the teacher's top ids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alternative {
    /// Token id.
    pub id: u32,
    /// The token as readable text.
    pub text: String,
    /// Probability under the full softmax.
    pub prob: f32,
}

/// Describes `row`, with one entry for each token of `range` (offsets in the sequence, cut to its length)
/// each with at most `n_alternatives` alternatives and as many drawn ids.
pub fn describe_row(
    row: &Row,
    range: Range<usize>,
    n_alternatives: usize,
    names: TokenNames<'_>,
) -> RowView {
    let end = range.end.min(row.input_ids.len());
    let tokens = (range.start.min(end)..end)
        .map(|offset| describe_token(row, offset, n_alternatives, names))
        .collect();
    RowView {
        seq_id: row.seq_id,
        n_targets: row.n_targets,
        scores: named_scores(&row.scores).into_iter().collect(),
        documents: documents_of(row),
        text: (names.decode)(&row.input_ids),
        tokens,
    }
}

/// The whole sequence as spans coloured by surprise.
pub fn coloured_text(row: &Row, names: TokenNames<'_>) -> Vec<Span> {
    spans(row.input_ids.iter().enumerate().map(|(offset, &id)| {
        let logprob = offset.checked_sub(1).and_then(|t| target_logprob(row, t));
        ((names.bytes)(id), Surprise::of(logprob))
    }))
}

/// Pairs as an object, in their order.
fn as_object<S: Serializer>(
    pairs: &[(&'static str, Option<f64>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().copied())
}

fn documents_of(row: &Row) -> Vec<DocumentStart> {
    if row.doc_starts.is_empty() {
        return vec![DocumentStart {
            offset: 0,
            doc_index: row.first_doc_index,
        }];
    }
    let starts = row.doc_starts.iter().zip(&row.doc_indices);
    starts
        .map(|(&offset, &doc_index)| DocumentStart { offset, doc_index })
        .collect()
}

fn describe_token(
    row: &Row,
    offset: usize,
    n_alternatives: usize,
    names: TokenNames<'_>,
) -> TokenView {
    let id = row.input_ids[offset];
    // List index t predicts the token at offset t + 1.
    let t = offset.checked_sub(1);
    let at = |list: &[f32]| t.and_then(|t| list.get(t).copied());
    let logprob = t.and_then(|t| target_logprob(row, t));
    TokenView {
        offset: offset as u32,
        id,
        text: (names.text)(id),
        logprob,
        prob: logprob.map(f32::exp),
        rank: t.and_then(|t| target_rank(row, t)),
        entropy: at(&row.signals.entropy_t),
        tail_mass: at(&row.signals.tail_mass_t),
        alternatives: t.map_or(Vec::new(), |t| alternatives(row, t, n_alternatives, names)),
        draws: t.map_or(Vec::new(), |t| draws(row, t, n_alternatives, names)),
    }
}

fn draws(row: &Row, t: usize, n_max: usize, names: TokenNames<'_>) -> Vec<Drawn> {
    let signals = &row.signals;
    let bounds = signals.sample_offsets.get(t..t + 2);
    let range = bounds.map_or(0..0, |bounds| bounds[0] as usize..bounds[1] as usize);
    let ids = signals.sampled_ids.get(range.clone()).unwrap_or(&[]);
    let counts = signals.sampled_counts.get(range).unwrap_or(&[]);
    let mut drawn: Vec<(u32, u16)> = ids.iter().copied().zip(counts.iter().copied()).collect();
    drawn.sort_by_key(|&(id, count)| (std::cmp::Reverse(count), id));
    let most = drawn.into_iter().take(n_max);
    most.map(|(id, count)| Drawn {
        id,
        text: (names.text)(id),
        count,
    })
    .collect()
}

fn alternatives(row: &Row, t: usize, n_max: usize, names: TokenNames<'_>) -> Vec<Alternative> {
    let (ids_k, logprobs_k) = top_k(row, t);
    let pairs = ids_k.iter().zip(logprobs_k).take(n_max);
    pairs
        .map(|(&id, logprob)| Alternative {
            id,
            text: (names.text)(id),
            prob: logprob.exp(),
        })
        .collect()
}

/// Exact if the set has `stats`; else from `topk`, if the target is among the K.
fn target_logprob(row: &Row, t: usize) -> Option<f32> {
    let exact = row.signals.target_logprob_t.get(t).copied();
    exact.or_else(|| place_in_top_k(row, t).map(|(_, logprob)| logprob))
}

fn target_rank(row: &Row, t: usize) -> Option<u32> {
    let exact = row
        .signals
        .target_rank_t
        .get(t)
        .map(|&rank| u32::from(rank));
    exact.or_else(|| place_in_top_k(row, t).map(|(rank, _)| rank))
}

fn place_in_top_k(row: &Row, t: usize) -> Option<(u32, f32)> {
    let target = *row.input_ids.get(t + 1)?;
    let (ids_k, logprobs_k) = top_k(row, t);
    let rank = ids_k.iter().position(|&id| id == target)?;
    Some((rank as u32, logprobs_k[rank]))
}

/// The stored ids and log-probabilities at position t; empty if the group is not stored.
fn top_k(row: &Row, t: usize) -> (&[u32], &[f32]) {
    let n_positions = row.input_ids.len().saturating_sub(1).max(1);
    let k = row.signals.topk_ids_tk.len() / n_positions;
    let range = t * k..(t + 1) * k;
    (
        row.signals.topk_ids_tk.get(range.clone()).unwrap_or(&[]),
        row.signals.topk_logprobs_tk.get(range).unwrap_or(&[]),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::signals::{PositionSignals, Scores};

    /// Three tokens, two positions, K = 2.
    pub(crate) fn sample_row() -> Row {
        Row {
            pieces: Vec::new(),
            seq_id: 7,
            first_doc_index: 3,
            n_targets: 2,
            scores: Scores {
                salt: None,
                mean_nll: 1.5,
                ..Scores::default()
            },
            input_ids: vec![0, 1, 2],
            doc_starts: vec![0, 2],
            doc_indices: vec![3, 4],
            signals: PositionSignals {
                target_logprob_t: vec![-0.5, f32::NEG_INFINITY],
                target_rank_t: vec![0, 9],
                entropy_t: vec![0.75, 2.0],
                logsumexp_t: vec![1.0, 1.0],
                topk_ids_tk: vec![1, 0, 0, 1],
                topk_logprobs_tk: vec![-0.5, -1.5, -1.0, -2.0],
                tail_mass_t: vec![0.125, 0.5],
                ..Default::default()
            },
        }
    }

    /// Ten draws at each of two positions, and nothing else.
    pub(crate) fn sample_draws() -> PositionSignals {
        PositionSignals {
            sampled_ids: vec![0, 1, 0, 1, 2],
            sampled_counts: vec![4, 6, 3, 2, 5],
            sample_offsets: vec![0, 2, 5],
            ..Default::default()
        }
    }

    pub(crate) fn with_names<R>(f: impl FnOnce(TokenNames<'_>) -> R) -> R {
        let words = ["the", " dorn", "\n"];
        let text = |id: u32| words[id as usize].to_owned();
        let bytes = |id: u32| words[id as usize].as_bytes().to_vec();
        let decode = |ids: &[u32]| ids.iter().map(|&id| words[id as usize]).collect();
        f(TokenNames {
            text: &text,
            bytes: &bytes,
            decode: &decode,
        })
    }

    #[test]
    fn the_json_has_one_object_a_token_with_what_predicted_it() {
        let view = with_names(|names| describe_row(&sample_row(), 0..2, 1, names));
        let json = serde_json::to_value(&view).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "seq_id": 7,
                "n_targets": 2,
                "scores": {
                    "score_salt": null, "score_salt_masked": 0.0, "score_mean_nll": 1.5, "score_median_nll": 0.0,
                    "score_learnable_fraction": 0.0, "score_mean_entropy": 0.0, "score_mean_topk_mass": 0.0
                },
                "documents": [{ "offset": 0, "doc_index": 3 }, { "offset": 2, "doc_index": 4 }],
                "text": "the dorn\n",
                "tokens": [
                    {
                        "offset": 0, "id": 0, "text": "the", "logprob": null, "prob": null, "rank": null,
                        "entropy": null, "tail_mass": null, "alternatives": [], "draws": []
                    },
                    {
                        "offset": 1, "id": 1, "text": " dorn", "logprob": -0.5, "prob": (-0.5_f32).exp(), "rank": 0,
                        "entropy": 0.75, "tail_mass": 0.125,
                        "alternatives": [{ "id": 1, "text": " dorn", "prob": (-0.5_f32).exp() }],
                        "draws": []
                    }
                ]
            })
        );
    }

    #[test]
    fn a_set_without_stats_finds_the_target_among_the_kept() {
        let mut row = sample_row();
        row.signals.target_logprob_t.clear();
        row.signals.target_rank_t.clear();
        let view = with_names(|names| describe_row(&row, 1..3, 2, names));
        assert_eq!(
            (view.tokens[0].logprob, view.tokens[0].rank),
            (Some(-0.5), Some(0))
        );
        // The second target is not among the two stored ids.
        assert_eq!((view.tokens[1].logprob, view.tokens[1].rank), (None, None));
    }

    #[test]
    fn draws_come_by_falling_count_and_of_their_own_position() {
        let mut row = sample_row();
        row.signals = sample_draws();
        let view = with_names(|names| describe_row(&row, 0..3, 2, names));
        let drawn = |token: &TokenView| -> Vec<(String, u16)> {
            let draws = token.draws.iter();
            draws
                .map(|drawn| (drawn.text.clone(), drawn.count))
                .collect()
        };
        assert_eq!(drawn(&view.tokens[0]), []);
        let pairs = |pairs: &[(&str, u16)]| -> Vec<(String, u16)> {
            pairs
                .iter()
                .map(|&(text, n)| (text.to_owned(), n))
                .collect()
        };
        assert_eq!(drawn(&view.tokens[1]), pairs(&[(" dorn", 6), ("the", 4)]));
        // At most two were requested.
        assert_eq!(drawn(&view.tokens[2]), pairs(&[("\n", 5), ("the", 3)]));
    }

    #[test]
    fn a_stretch_past_the_end_is_cut() {
        let view = with_names(|names| describe_row(&sample_row(), 2..90, 2, names));
        assert_eq!(view.tokens.len(), 1);
        let view = with_names(|names| describe_row(&sample_row(), 50..90, 2, names));
        assert!(view.tokens.is_empty());
    }

    #[test]
    fn the_text_is_coloured_by_what_the_teacher_thought() {
        let spans = with_names(|names| coloured_text(&sample_row(), names));
        let steps: Vec<Surprise> = spans.iter().map(|span| span.surprise).collect();
        assert_eq!(
            steps,
            [Surprise::Unknown, Surprise::Likely, Surprise::Shocking]
        );
    }
}
