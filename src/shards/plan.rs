//! `plan.json`: what is labelled, how, and which rows go into which shard and row group.

use super::ShardsError;
use super::seq_ids::{SeqIdOrder, SeqIdSet};
use crate::signals::Rounding;
use crate::tokens::{Dtype, EodPosition, Packing, Padding, TokenFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;

/// The format version that this library writes, and the newest that it reads.
pub const FORMAT_VERSION: u32 = 1;
/// Required features that this library knows. A set that needs another one is refused.
pub const KNOWN_FEATURES: &[&str] = &[
    SAMPLES_FEATURE,
    SELECTION_FEATURE,
    IMPOSSIBLE_TARGETS_FEATURE,
    ENGINE_FEATURE,
];
/// The feature required by labels with the group `samples`. A reader from before that group would also refuse them
/// without it, but as a damaged plan with an unknown word; this way it says that a newer version is needed.
pub const SAMPLES_FEATURE: &str = "samples";
/// The feature required by labels of a selection: a reader without it would assume that every sequence in the range is
/// labelled, and attribute rows to the wrong sequences.
pub const SELECTION_FEATURE: &str = "selection";
/// The feature required by labels with targets of probability 0: a reader without it would take an infinite NLL or a
/// null score for damage.
pub const IMPOSSIBLE_TARGETS_FEATURE: &str = "impossible-targets";
/// The feature required by labels from an engine other than ONNX Runtime: a reader without it would compute another
/// fingerprint of their plan, and take it for damaged.
pub const ENGINE_FEATURE: &str = "engine";
/// k of the SALT scores (eq. 10).
pub const SCORE_K: u32 = crate::signals::SCORE_K as u32;

/// An immutable plan of labels: one contiguous range of sequences of one corpus, labelled by one
/// teacher. Two plans are the same if all fields but `created_by` are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Version of the shard format. Readers refuse versions above those they know.
    pub format_version: u32,
    /// Features that a reader must know in order to read these labels correctly.
    pub required_features: Vec<String>,
    /// The program and version that made the plan. Informative: not compared, not fingerprinted.
    pub created_by: String,
    /// The model whose predictions are stored.
    pub teacher: PlanTeacher,
    /// The token corpus that is labelled.
    pub corpus: PlanCorpus,
    /// The tokenizer that made the corpus, if known.
    pub tokenizer: Option<PlanTokenizer>,
    /// The view of the corpus as sequences, and the labelled range of it.
    pub sequences: PlanSequences,
    /// What is stored of each position.
    pub signals: PlanSignals,
    /// Which rows go where.
    pub layout: Layout,
}

/// The model whose predictions are stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanTeacher {
    /// `blake3:` and 64 hex digits over the ONNX file and its external data.
    pub fingerprint: String,
    /// The ONNX file first, then its external data sorted by name.
    pub files: Vec<PlanFile>,
    /// V: ids that the logits range over; every stored id is below it.
    pub vocab_size: u32,
    /// Element type of the model's logits: `float32`, `float16` or `bfloat16`.
    pub logits_dtype: String,
    /// Name of the model's output with the logits.
    pub logits_output: String,
    /// Checks that the model failed and that were overridden: `not-causal`, `not-repeatable`,
    /// `not-logits`. Absent if there are none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// Fingerprint of the `tokenizer.json` next to the model, if it is not the tokens' and this was to
    /// be ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored_tokenizer: Option<String>,
    /// The checkpoint that the ONNX file was made from, if this program made it; absent if an ONNX file was
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<PlanCheckpoint>,
    /// The engine that made the numbers, if they were not made by ONNX Runtime here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<PlanEngine>,
}

/// A checkpoint, and how its graph was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanCheckpoint {
    /// Its configuration first, then its weights.
    pub files: Vec<PlanFile>,
    /// Operators of the graph: `standard` or `fused`.
    pub dialect: String,
    /// Type in which its matrices are stored: `f32`, `f16`, `bf16` or `int8`.
    pub weights: String,
    /// The version of the program's graphs.
    pub graph_version: u32,
}

/// An engine whose numbers were written as labels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanEngine {
    /// Its name, such as `vllm`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The model that it ran, and whatever else distinguishes these numbers from others.
    pub model: String,
}

/// One input file, with the hash of samples of it that tasks check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanFile {
    /// File name without its directory.
    pub name: String,
    /// Bytes of the file.
    pub bytes: u64,
    /// BLAKE3 of its content, 64 hex digits.
    pub blake3: String,
    /// BLAKE3 over the size and up to 64 blocks of 64 KiB at evenly spread offsets.
    pub sampled_blake3: String,
}

/// The token corpus that is labelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanCorpus {
    /// Format of the token files.
    pub format: TokenFormat,
    /// The type of the ids, if it was given because the files do not record it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// The id that separates documents, where the format has no document boundaries of its own.
    pub eod: Option<u32>,
    /// Position of that id in a document; absent: at its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eod_position: Option<EodPosition>,
    /// What was left out as padding; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub padding: Option<Padding>,
    /// `blake3:` and 64 hex digits over the token files' hashes.
    pub fingerprint: String,
    /// The token files.
    pub files: Vec<PlanFile>,
    /// Tokens of the whole corpus.
    pub n_tokens: u64,
    /// Documents of the whole corpus.
    pub n_documents: u64,
}

/// The tokenizer that made the corpus.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanTokenizer {
    /// `blake3:` and 64 hex digits over the canonical table of ids to bytes and the special ids.
    pub fingerprint: String,
    /// Largest id + 1.
    pub vocab_size: u32,
    /// Id put in front of every document of the corpus, if any.
    pub bos: Option<u32>,
    /// Id put after every document of the corpus, if any.
    pub eod: Option<u32>,
}

/// What a position may attend to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Attention {
    /// Everything before it in the sequence, across documents.
    Full,
    /// What is before it in its own document.
    Document,
}

/// How positions are counted inside a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// From 0 to the sequence's end.
    Continuous,
    /// From 0 again at every document.
    Restart,
}

/// The view of the corpus as sequences, and the labelled range of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSequences {
    /// T: predicted positions of a full sequence; it holds T + 1 ids.
    pub seq_len: u32,
    /// How documents become sequences.
    pub packing: Packing,
    /// What a position may attend to.
    pub attention: Attention,
    /// How positions are counted.
    pub positions: Positions,
    /// Id that is put in front of every sequence, if any.
    pub sequence_bos: Option<u32>,
    /// Sequences of the whole view.
    pub n_total: u64,
    /// First labelled sequence (seq_id).
    pub start: u64,
    /// One past the last labelled sequence.
    pub end: u64,
    /// Predicted positions of the labelled sequences.
    pub n_targets: u64,
    /// The selection, of which only kept sequences are labelled; absent if all of the range are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selection: Option<PlanSelection>,
}

/// Which sequences of the range are labelled: those that a selection keeps. The selection itself is
/// next to the plan, as `selection.parquet`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSelection {
    /// `blake3:` and 64 hex digits over the kept `seq_id`s, regardless of what else the selection's
    /// file contains.
    pub fingerprint: String,
    /// Sequences that it keeps of the whole view.
    pub n_kept: u64,
    /// Those of them in the range: the rows of this plan.
    pub n_rows: u64,
    /// The kept sequences themselves, where the selection was read (`LabelSet::open` does).
    #[serde(skip)]
    pub kept: Option<Arc<SeqIdOrder>>,
}

impl PlanSelection {
    /// The selection of the sequences `kept`, labelled in `range`.
    pub fn new(kept: SeqIdSet, range: std::ops::Range<u64>) -> Self {
        Self::of_order(Arc::new(SeqIdOrder::new(kept)), range)
    }

    pub(super) fn of_order(kept: Arc<SeqIdOrder>, range: std::ops::Range<u64>) -> Self {
        PlanSelection {
            fingerprint: format!("blake3:{}", kept.set().hash()),
            n_kept: kept.set().len(),
            n_rows: kept.n_below(range.end) - kept.n_below(range.start),
            kept: Some(kept),
        }
    }
}

/// A group of columns that is stored or left out as a whole.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Selection scores, one row per sequence. Always present.
    Scores,
    /// Target log-probability and rank, entropy and logsumexp of each position.
    Stats,
    /// The K best ids of each position with their log-probabilities, and the mass outside them.
    Topk,
    /// Ids drawn from the teacher's distribution at each position, with counts.
    Samples,
}

/// What is stored of each position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSignals {
    /// Stored groups, in the order `scores`, `stats`, `topk`, `samples`.
    pub groups: Vec<Group>,
    /// K: stored ids per position. 0 without the group `topk`.
    pub top_k: u32,
    /// Extra temperatures whose log-partition is stored; only with the group `topk`. 1 is always
    /// present.
    pub temperatures: Vec<f64>,
    /// Precision that kept log-probabilities are rounded to.
    pub rounding: Rounding,
    /// Ids past the tokenizer's vocabulary were masked before the softmax.
    pub mask_vocab_padding: bool,
    /// Targets may have probability 0 (a logit of -inf): their `target_logprob` is -inf, and the NLL
    /// scores of their sequence are null. Absent: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub impossible_targets: bool,
    /// k of the SALT scores.
    pub score_k: u32,
    /// How ids are drawn; only with the group `samples`, else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<PlanSamples>,
}

/// How ids are drawn at each position (random-sampling KD, arXiv 2503.16870). A position's samples
/// depend only on this, its logits, its `seq_id` and its index in the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanSamples {
    /// N: samples per position, with replacement.
    pub n_draws: u16,
    /// tau_s: samples are from p^(1/tau_s) / sum p^(1/tau_s).
    pub tau: f64,
    /// Seed of the draws.
    pub seed: u64,
}

impl PlanSignals {
    /// Whether `group` is stored.
    pub fn has(&self, group: Group) -> bool {
        self.groups.contains(&group)
    }

    /// Whether there are positions files at all.
    pub fn has_positions(&self) -> bool {
        self.groups.iter().any(|&group| group != Group::Scores)
    }

    /// Most distinct ids that one position can have drawn from a vocabulary of `vocab_size`: N or V.
    pub(super) fn max_distinct_draws(&self, vocab_size: u32) -> u32 {
        let n_draws = self.samples.map_or(0, |samples| samples.n_draws);
        u32::from(n_draws).min(vocab_size)
    }
}

/// Which rows go where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Layout {
    /// Number of this plan's first shard: 0, or for an extension the shards before it.
    pub first_shard: u32,
    /// Shards of this plan.
    pub n_shards: u32,
    /// Rows of every shard but the last.
    pub rows_per_shard: u64,
    /// Rows of every row group but the last of a shard.
    pub rows_per_row_group: u64,
    /// Seed of the permutation that spreads sequences over rows; null keeps their order.
    pub order_seed: Option<u64>,
    /// zstd level of every column chunk.
    pub zstd_level: i32,
}

/// One field in which two plans differ.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldDifference {
    /// Dotted path, such as `signals.top_k`.
    pub field: String,
    /// This plan's value, as JSON.
    pub ours: String,
    /// The other plan's value, as JSON.
    pub theirs: String,
}

/// Just enough to decide whether the rest can be read.
#[derive(Deserialize)]
struct Header {
    format_version: u32,
    required_features: Vec<String>,
}

/// Fields that only tell the range of a segment.
const RANGE_FIELDS: &[&str] = &[
    "sequences.start",
    "sequences.end",
    "sequences.n_targets",
    "sequences.selection.n_rows",
    "layout.first_shard",
    "layout.n_shards",
];

/// Fields that follow from others in their section, or from the corpus.
const FOLLOWING_FIELDS: &[&str] = &[
    "corpus.n_documents",
    "corpus.n_tokens",
    "required_features",
    "sequences.attention",
    "sequences.end",
    "sequences.n_total",
    "sequences.n_targets",
    "sequences.positions",
];

impl Plan {
    /// `blake3:` and 64 hex digits over the plan as compact JSON in field order, with `created_by` empty. It covers the
    /// fields of format version 1: an addition that changes the data must be a required feature, so that a reader that
    /// would compute another value refuses first.
    pub fn fingerprint(&self) -> String {
        let plan = Plan {
            created_by: String::new(),
            ..self.clone()
        };
        let json = serde_json::to_vec(&plan).expect("a plan has string keys only");
        format!("blake3:{}", blake3::hash(&json).to_hex())
    }

    /// The plan as it is written to `plan.json`.
    pub fn to_json(&self) -> Vec<u8> {
        super::json::to_bytes(self)
    }

    /// Reads and validates a plan. `path` is for messages.
    ///
    /// # Errors
    /// A newer format version or an unknown required feature; JSON that is not a plan; impossible values.
    pub fn from_json(path: &Path, bytes: &[u8]) -> Result<Self, ShardsError> {
        let header: Header = super::json::from_bytes(path, bytes)?;
        check_version(path, header.format_version, &header.required_features)?;
        let plan: Plan = super::json::from_bytes(path, bytes)?;
        plan.validate().map_err(|error| match error {
            ShardsError::InvalidPlan { field, reason, .. } => ShardsError::InvalidPlan {
                path: Some(path.to_path_buf()),
                field,
                reason,
            },
            other => other,
        })?;
        Ok(plan)
    }

    /// The first field in which the two plans differ, `created_by` aside.
    pub fn differing_field(&self, other: &Plan) -> Option<FieldDifference> {
        self.differences(other).into_iter().next()
    }

    /// Like [`Plan::differing_field`], without the fields that only tell which range is labelled.
    pub(super) fn differing_setting(&self, other: &Plan) -> Option<FieldDifference> {
        self.differences(other)
            .into_iter()
            .find(|difference| !RANGE_FIELDS.contains(&difference.field.as_str()))
    }

    fn differences(&self, other: &Plan) -> Vec<FieldDifference> {
        let value = |plan: &Plan| serde_json::to_value(plan).expect("a plan has string keys only");
        let (ours, theirs) = (value(self), value(other));
        let mut found = Vec::new();
        // In this order, so that the most informative difference comes first.
        for section in [
            "format_version",
            "teacher",
            "corpus",
            "tokenizer",
            "sequences",
            "signals",
            // These follow from the signals.
            "required_features",
            "layout",
        ] {
            collect_differences(section, &ours[section], &theirs[section], &mut found);
        }
        // They follow from others and are less informative.
        found.sort_by_key(|difference| FOLLOWING_FIELDS.contains(&difference.field.as_str()));
        found
    }

    /// Rows of this plan: sequences in its range, or those that the selection keeps there.
    pub fn n_sequences(&self) -> u64 {
        match &self.sequences.selection {
            Some(selection) => selection.n_rows,
            None => self.sequences.end.saturating_sub(self.sequences.start),
        }
    }
}

/// Refuses what this library cannot read correctly.
pub(super) fn check_version(
    path: &Path,
    version: u32,
    features: &[String],
) -> Result<(), ShardsError> {
    if version == 0 || version > FORMAT_VERSION {
        return Err(ShardsError::UnsupportedVersion {
            path: path.to_path_buf(),
            got: version,
            newest: FORMAT_VERSION,
        });
    }
    match features
        .iter()
        .find(|f| !KNOWN_FEATURES.contains(&f.as_str()))
    {
        None => Ok(()),
        Some(feature) => Err(ShardsError::UnknownFeature {
            path: path.to_path_buf(),
            feature: feature.clone(),
        }),
    }
}

fn collect_differences(
    field: &str,
    ours: &serde_json::Value,
    theirs: &serde_json::Value,
    found: &mut Vec<FieldDifference>,
) {
    use serde_json::Value::{Array, Object};
    match (ours, theirs) {
        (Object(a), Object(b)) => {
            let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                collect_differences(&format!("{field}.{key}"), &ours[key], &theirs[key], found);
            }
        }
        (Array(a), Array(b)) if a.len() == b.len() && a.iter().all(|v| v.is_object()) => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                collect_differences(&format!("{field}[{i}]"), a, b, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(FieldDifference {
            field: field.to_owned(),
            ours: ours.to_string(),
            theirs: theirs.to_string(),
        }),
    }
}
