//! The columns of both files as plain data, for `schemas/shard-columns.json` and the docs.

use super::columns::{self, Column, ColumnId, FileKind, Shape};
use super::plan::{Group, PlanSamples, PlanSignals, SCORE_K};
use crate::signals::Rounding;
use arrow_schema::DataType;
use serde::Serialize;

/// One column, for readers of the files.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnDescription {
    /// Name; `X` stands for a temperature if there is one column for each.
    pub name: String,
    /// Directory of the files that hold it: `scores` or `positions`.
    pub file: &'static str,
    /// Group that must be stored for the column to exist.
    pub group: Group,
    /// Type of the value, or of the list's items: `u16`, `u32`, `u64`, `f32` or `f64`.
    pub item_type: &'static str,
    /// Its physical type in Parquet.
    pub physical_type: &'static str,
    /// Its logical type in Parquet, if any.
    pub logical_type: Option<&'static str>,
    /// Length of the list in one row (T predicted positions, K stored ids); none for a scalar.
    pub list_length: Option<&'static str>,
    /// Whether a row may have no value. Lists and their items are never null.
    pub nullable: bool,
    /// Parquet encoding of the values.
    pub encoding: String,
    /// Compression of the column chunks; the level is the plan's.
    pub compression: &'static str,
    /// Whether pages and column chunks carry minimum and maximum values.
    pub statistics: bool,
    /// Unit of the values, or empty.
    pub unit: &'static str,
    /// What the values are.
    pub meaning: &'static str,
}

/// All columns of shard format 1, scores first, in file order.
pub fn describe_columns() -> Vec<ColumnDescription> {
    let signals = PlanSignals {
        groups: vec![Group::Scores, Group::Stats, Group::Topk, Group::Samples],
        top_k: 1,
        temperatures: vec![2.0],
        rounding: Rounding::F32,
        mask_vocab_padding: false,
        impossible_targets: false,
        score_k: SCORE_K,
        samples: Some(PlanSamples {
            n_draws: 1,
            tau: 1.0,
            seed: 0,
        }),
    };
    let of_file = |file| {
        let columns = columns::columns(file, &signals, true).into_iter();
        columns.map(move |column| describe(file, column))
    };
    FileKind::ALL.into_iter().flat_map(of_file).collect()
}

fn describe(file: FileKind, column: Column) -> ColumnDescription {
    let (item_type, physical_type, logical_type) = types(&column.item);
    ColumnDescription {
        encoding: column.encoding().to_string(),
        statistics: column.shape == Shape::Scalar,
        name: match column.id {
            ColumnId::LogPartition(_) => "log_partition_tau_X".to_owned(),
            _ => column.name,
        },
        file: file.dir(),
        group: column.group,
        item_type,
        physical_type,
        logical_type,
        list_length: list_length(column.shape),
        nullable: column.nullable,
        compression: "ZSTD",
        unit: column.unit,
        meaning: column.meaning,
    }
}

fn list_length(shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Scalar => None,
        Shape::T => Some("T"),
        Shape::TPlus1 => Some("T + 1"),
        Shape::TTimesK => Some("T * K"),
        Shape::Documents => Some("documents of the sequence"),
        Shape::Pieces => Some("documents that have a target in the sequence"),
        Shape::Draws => Some("distinct ids drawn at each position, together"),
    }
}

fn types(item: &DataType) -> (&'static str, &'static str, Option<&'static str>) {
    match item {
        DataType::UInt16 => ("u16", "INT32", Some("UINT_16")),
        DataType::UInt32 => ("u32", "INT32", Some("UINT_32")),
        DataType::UInt64 => ("u64", "INT64", Some("UINT_64")),
        DataType::Float32 => ("f32", "FLOAT", None),
        DataType::Float64 => ("f64", "DOUBLE", None),
        other => unreachable!("no column is {other}"),
    }
}
