//! The columns of both files: names, types, units, encodings. All code that writes, reads, checks or documents a column
//! uses this table.

use super::plan::{Group, PlanSignals};
use arrow_schema::{DataType, Field, Schema};
use parquet::basic::Encoding;
use parquet::file::properties::EnabledStatistics;
use parquet::schema::types::ColumnPath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Name of the item in a list column, as in the Parquet specification.
pub(super) const LIST_ITEM: &str = "element";

/// The two files of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// `scores/`: one row per sequence, scalars only.
    Scores,
    /// `positions/`: one row per sequence, lists over its positions.
    Positions,
}

impl FileKind {
    pub(super) const ALL: [FileKind; 2] = [FileKind::Scores, FileKind::Positions];

    /// The directory that holds files of this kind.
    pub(super) fn dir(self) -> &'static str {
        match self {
            FileKind::Scores => "scores",
            FileKind::Positions => "positions",
        }
    }
}

/// Which value of a row a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnId {
    SeqId,
    NTargets,
    FirstDocIndex,
    Score(ScoreId),
    Piece(PieceColumn),
    InputIds,
    DocStarts,
    DocIndices,
    TargetLogprob,
    TargetRank,
    Entropy,
    Logsumexp,
    TopkIds,
    TopkLogprobs,
    TailMass,
    /// The x-th extra temperature.
    LogPartition(usize),
    SampledIds,
    SampledCounts,
    SampleOffsets,
}

/// Which value of the documents with a target in a sequence; a list over them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PieceColumn {
    DocIndex,
    NTargets,
    NLearnable,
    Nll,
    NllLearnable,
    Entropy,
    TopkMass,
}

impl PieceColumn {
    pub(super) const ALL: [PieceColumn; 7] = [
        PieceColumn::DocIndex,
        PieceColumn::NTargets,
        PieceColumn::NLearnable,
        PieceColumn::Nll,
        PieceColumn::NllLearnable,
        PieceColumn::Entropy,
        PieceColumn::TopkMass,
    ];

    /// Name of the column.
    pub(super) fn name(self) -> &'static str {
        match self {
            PieceColumn::DocIndex => "piece_doc_indices",
            PieceColumn::NTargets => "piece_n_targets",
            PieceColumn::NLearnable => "piece_n_learnable",
            PieceColumn::Nll => "piece_nll_sum",
            PieceColumn::NllLearnable => "piece_nll_learnable_sum",
            PieceColumn::Entropy => "piece_entropy_sum",
            PieceColumn::TopkMass => "piece_topk_mass_sum",
        }
    }

    fn item(self) -> DataType {
        match self {
            PieceColumn::DocIndex => DataType::UInt64,
            PieceColumn::NTargets | PieceColumn::NLearnable => DataType::UInt32,
            _ => DataType::Float64,
        }
    }

    /// Unit and meaning.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            PieceColumn::DocIndex => (
                "",
                "documents that have a target in the sequence; a target belongs to the document of its token",
            ),
            PieceColumn::NTargets => ("tokens", "targets of each of them"),
            PieceColumn::NLearnable => ("tokens", "those with target_rank < k"),
            PieceColumn::Nll => ("nats", "sum of the targets' NLL, unrounded, in their order"),
            PieceColumn::NllLearnable => ("nats", "the same over those with target_rank < k"),
            PieceColumn::Entropy => ("nats", "sum of the entropy of the full softmax"),
            PieceColumn::TopkMass => (
                "probability",
                "sum of the probability of the k best ids (k of the scores, not K)",
            ),
        }
    }
}

/// Which score of a sequence; the names are those of the columns.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
pub enum ScoreId {
    /// SALT eq. 10: median NLL over positions whose target is among the teacher's k best.
    #[serde(rename = "score_salt")]
    #[value(name = "score_salt")]
    Salt,
    /// Median over all positions of `[target_rank < k] * NLL`.
    #[serde(rename = "score_salt_masked")]
    #[value(name = "score_salt_masked")]
    SaltMasked,
    /// Mean NLL of the targets.
    #[serde(rename = "score_mean_nll")]
    #[value(name = "score_mean_nll")]
    MeanNll,
    /// Median NLL of the targets.
    #[serde(rename = "score_median_nll")]
    #[value(name = "score_median_nll")]
    MedianNll,
    /// Fraction of positions whose target is among the teacher's k best.
    #[serde(rename = "score_learnable_fraction")]
    #[value(name = "score_learnable_fraction")]
    LearnableFraction,
    /// Mean entropy of the full softmax.
    #[serde(rename = "score_mean_entropy")]
    #[value(name = "score_mean_entropy")]
    MeanEntropy,
    /// Mean probability of the k best ids.
    #[serde(rename = "score_mean_topk_mass")]
    #[value(name = "score_mean_topk_mass")]
    MeanTopkMass,
}

impl ScoreId {
    /// All scores, in column order.
    pub const ALL: [ScoreId; 7] = [
        ScoreId::Salt,
        ScoreId::SaltMasked,
        ScoreId::MeanNll,
        ScoreId::MedianNll,
        ScoreId::LearnableFraction,
        ScoreId::MeanEntropy,
        ScoreId::MeanTopkMass,
    ];

    /// Name of the column.
    pub fn name(self) -> &'static str {
        match self {
            ScoreId::Salt => "score_salt",
            ScoreId::SaltMasked => "score_salt_masked",
            ScoreId::MeanNll => "score_mean_nll",
            ScoreId::MedianNll => "score_median_nll",
            ScoreId::LearnableFraction => "score_learnable_fraction",
            ScoreId::MeanEntropy => "score_mean_entropy",
            ScoreId::MeanTopkMass => "score_mean_topk_mass",
        }
    }

    /// Whether it is a statistic of the targets' NLL, and so absent if that is infinite.
    pub(super) fn is_by_nll(self) -> bool {
        match self {
            ScoreId::Salt | ScoreId::SaltMasked | ScoreId::MeanNll | ScoreId::MedianNll => true,
            ScoreId::LearnableFraction | ScoreId::MeanEntropy | ScoreId::MeanTopkMass => false,
        }
    }

    /// Unit of the values: `nats`, `fraction` or `probability`.
    pub fn unit(self) -> &'static str {
        self.describe().0
    }

    /// Unit and meaning.
    fn describe(self) -> (&'static str, &'static str) {
        match self {
            ScoreId::Salt => (
                "nats",
                "SALT eq. 10: median NLL over positions with target_rank < k; null if there is none",
            ),
            ScoreId::SaltMasked => (
                "nats",
                "median over all positions of [target_rank < k] * NLL",
            ),
            ScoreId::MeanNll => ("nats", "mean NLL of the targets"),
            ScoreId::MedianNll => ("nats", "median NLL of the targets"),
            ScoreId::LearnableFraction => {
                ("fraction", "fraction of positions with target_rank < k")
            }
            ScoreId::MeanEntropy => ("nats", "mean entropy of the full softmax"),
            ScoreId::MeanTopkMass => (
                "probability",
                "mean probability of the k best ids (k of the scores, not K)",
            ),
        }
    }
}

/// Length of a column's value in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// One value.
    Scalar,
    /// One list item per predicted position.
    T,
    /// One list item per token.
    TPlus1,
    /// K list items per predicted position, flat.
    TTimesK,
    /// One list item per document in the sequence.
    Documents,
    /// One list item per document with a target in the sequence.
    Pieces,
    /// One list item per distinct id drawn, position by position.
    Draws,
}

/// One column.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    pub(super) id: ColumnId,
    pub(super) name: String,
    pub(super) group: Group,
    /// Type of the value, or of the list's items.
    pub(super) item: DataType,
    pub(super) shape: Shape,
    pub(super) nullable: bool,
    pub(super) unit: &'static str,
    pub(super) meaning: &'static str,
}

impl Column {
    /// The Arrow type of the whole column.
    pub(super) fn data_type(&self) -> DataType {
        match self.shape {
            Shape::Scalar => self.item.clone(),
            _ => DataType::List(self.item_field()),
        }
    }

    /// The field of a list's items.
    pub(super) fn item_field(&self) -> Arc<Field> {
        Arc::new(Field::new(LIST_ITEM, self.item.clone(), false))
    }

    /// The Parquet leaf of this column.
    pub(super) fn path(&self) -> ColumnPath {
        let mut parts = vec![self.name.clone()];
        if self.shape != Shape::Scalar {
            parts.extend(["list".to_owned(), LIST_ITEM.to_owned()]);
        }
        ColumnPath::new(parts)
    }

    /// Lists are encoded as BYTE_STREAM_SPLIT, which suits floats and ids alike; scalars are plain.
    pub(super) fn encoding(&self) -> Encoding {
        match self.shape {
            Shape::Scalar => Encoding::PLAIN,
            _ => Encoding::BYTE_STREAM_SPLIT,
        }
    }

    /// Statistics help to find rows by scalars; on list items they would only take space.
    pub(super) fn statistics(&self) -> EnabledStatistics {
        match self.shape {
            Shape::Scalar => EnabledStatistics::Page,
            _ => EnabledStatistics::None,
        }
    }
}

/// The columns of one file of a set, in order; `has_pieces` says whether the scores contain the sums of documents,
/// which earlier versions lack.
pub(super) fn columns(file: FileKind, signals: &PlanSignals, has_pieces: bool) -> Vec<Column> {
    let mut ids = match file {
        FileKind::Scores => scores_ids(),
        FileKind::Positions => positions_ids(signals),
    };
    if file == FileKind::Scores && has_pieces {
        ids.extend(PieceColumn::ALL.map(ColumnId::Piece));
    }
    ids.into_iter().map(|id| column(id, signals)).collect()
}

fn scores_ids() -> Vec<ColumnId> {
    let mut ids = vec![ColumnId::SeqId, ColumnId::NTargets, ColumnId::FirstDocIndex];
    ids.extend(ScoreId::ALL.map(ColumnId::Score));
    ids
}

fn positions_ids(signals: &PlanSignals) -> Vec<ColumnId> {
    let mut ids = vec![
        ColumnId::SeqId,
        ColumnId::InputIds,
        ColumnId::DocStarts,
        ColumnId::DocIndices,
    ];
    if signals.has(Group::Stats) {
        ids.extend([
            ColumnId::TargetLogprob,
            ColumnId::TargetRank,
            ColumnId::Entropy,
            ColumnId::Logsumexp,
        ]);
    }
    if signals.has(Group::Topk) {
        ids.extend([
            ColumnId::TopkIds,
            ColumnId::TopkLogprobs,
            ColumnId::TailMass,
        ]);
        ids.extend((0..signals.temperatures.len()).map(ColumnId::LogPartition));
    }
    if signals.has(Group::Samples) {
        ids.extend([
            ColumnId::SampledIds,
            ColumnId::SampledCounts,
            ColumnId::SampleOffsets,
        ]);
    }
    ids
}

fn column(id: ColumnId, signals: &PlanSignals) -> Column {
    let (name, group, item, shape) = layout(id);
    let (unit, meaning) = describe(id);
    let is_by_nll = matches!(id, ColumnId::Score(score) if score.is_by_nll());
    Column {
        id,
        name: match id {
            ColumnId::LogPartition(x) => format!("{name}{}", signals.temperatures[x]),
            _ => name.to_owned(),
        },
        group,
        item,
        shape,
        nullable: id == ColumnId::Score(ScoreId::Salt) || is_by_nll && signals.impossible_targets,
        unit,
        meaning,
    }
}

/// Name, group, type of the value or of the list's items, and length. A temperature is appended to the name.
fn layout(id: ColumnId) -> (&'static str, Group, DataType, Shape) {
    use DataType::{Float32, Float64, UInt16, UInt32, UInt64};
    use Group::{Samples, Scores, Stats, Topk};
    use Shape::{Documents, Draws, Pieces, Scalar, T, TPlus1, TTimesK};
    match id {
        ColumnId::SeqId => ("seq_id", Scores, UInt64, Scalar),
        ColumnId::NTargets => ("n_targets", Scores, UInt32, Scalar),
        ColumnId::FirstDocIndex => ("first_doc_index", Scores, UInt64, Scalar),
        ColumnId::Score(score) => (score.name(), Scores, Float64, Scalar),
        ColumnId::Piece(piece) => (piece.name(), Scores, piece.item(), Pieces),
        ColumnId::InputIds => ("input_ids", Scores, UInt32, TPlus1),
        ColumnId::DocStarts => ("doc_starts", Scores, UInt32, Documents),
        ColumnId::DocIndices => ("doc_indices", Scores, UInt64, Documents),
        ColumnId::TargetLogprob => ("target_logprob", Stats, Float32, T),
        ColumnId::TargetRank => ("target_rank", Stats, UInt16, T),
        ColumnId::Entropy => ("entropy", Stats, Float32, T),
        ColumnId::Logsumexp => ("logsumexp", Stats, Float32, T),
        ColumnId::TopkIds => ("topk_ids", Topk, UInt32, TTimesK),
        ColumnId::TopkLogprobs => ("topk_logprobs", Topk, Float32, TTimesK),
        ColumnId::TailMass => ("tail_mass", Topk, Float32, T),
        ColumnId::LogPartition(_) => ("log_partition_tau_", Topk, Float32, T),
        ColumnId::SampledIds => ("sampled_ids", Samples, UInt32, Draws),
        ColumnId::SampledCounts => ("sampled_counts", Samples, UInt16, Draws),
        ColumnId::SampleOffsets => ("sample_offsets", Samples, UInt32, TPlus1),
    }
}

/// Unit and meaning.
fn describe(id: ColumnId) -> (&'static str, &'static str) {
    match id {
        ColumnId::SeqId => (
            "",
            "number of the sequence in the view; the key that joins everything",
        ),
        ColumnId::NTargets => ("tokens", "predicted positions of the sequence"),
        ColumnId::FirstDocIndex => ("", "document of the sequence's first token"),
        ColumnId::Score(score) => score.describe(),
        ColumnId::Piece(piece) => piece.describe(),
        ColumnId::InputIds => (
            "",
            "the sequence; list index t of the other columns predicts input_ids[t + 1]",
        ),
        ColumnId::DocStarts => (
            "tokens",
            "offsets in the sequence at which documents start; the first is 0",
        ),
        ColumnId::DocIndices => (
            "",
            "which documents start at doc_starts; the first may have started earlier",
        ),
        ColumnId::TargetLogprob => (
            "nats",
            "log-probability of the target under the full softmax",
        ),
        ColumnId::TargetRank => (
            "",
            "how many ids the teacher ranks above the target (ties: lower id first), saturating at 65535",
        ),
        ColumnId::Entropy => ("nats", "entropy of the full softmax"),
        ColumnId::Logsumexp => (
            "nats",
            "logsumexp of the raw logits; raw logit = log-probability + logsumexp",
        ),
        ColumnId::TopkIds => (
            "",
            "the K best ids of each position, by descending logit, ties by id",
        ),
        ColumnId::TopkLogprobs => (
            "nats",
            "their log-probabilities under the full softmax, rounded to the recorded precision; -inf is legal",
        ),
        ColumnId::TailMass => (
            "probability",
            "probability outside the K, summed before any rounding; to 10 explicit mantissa bits where rounding is m6, m5 or m4",
        ),
        ColumnId::LogPartition(_) => (
            "nats",
            "log sum_v p_v^(1/tau) of one extra temperature tau; tempered probabilities of kept ids are p_v^(1/tau) / exp(this)",
        ),
        ColumnId::SampledIds => (
            "",
            "distinct ids drawn from p^(1/tau_s) / sum p^(1/tau_s), position after position, ascending in each",
        ),
        ColumnId::SampledCounts => (
            "draws",
            "how often each of them was drawn, at least 1; together N in each position",
        ),
        ColumnId::SampleOffsets => (
            "",
            "where each position begins in the other two lists; the first is 0, the last their length",
        ),
    }
}

/// The Arrow schema of `columns`.
pub(super) fn arrow_schema(columns: &[Column]) -> Arc<Schema> {
    let field = |c: &Column| Field::new(c.name.clone(), c.data_type(), c.nullable);
    Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()))
}
