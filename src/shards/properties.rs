//! A file's encoding and its key-value metadata.

use super::columns::{Column, FileKind};
use super::plan::{Plan, PlanSamples};
use crate::storage::table_properties;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

/// Names the format, not the library: the file's bytes must not change with a release.
const CREATED_BY: &str = "saltworks-shard version 1.0.0";
/// Prefix of every metadata key.
pub(super) const METADATA_PREFIX: &str = "saltworks.";

/// How a file is encoded. Row groups end where the writer flushes, and pages by counts of values,
/// so equal rows make equal bytes.
pub(super) fn writer_properties(
    columns: &[Column],
    metadata: Vec<(String, String)>,
    zstd: ZstdLevel,
) -> WriterProperties {
    let mut builder = table_properties(CREATED_BY)
        .set_compression(Compression::ZSTD(zstd))
        .set_offset_index_disabled(false)
        .set_key_value_metadata(Some(key_values(metadata)));
    for column in columns {
        builder = builder
            .set_column_encoding(column.path(), column.encoding())
            .set_column_statistics_enabled(column.path(), column.statistics());
    }
    builder.build()
}

/// Converts metadata to Parquet's type.
pub(super) fn key_values(metadata: impl IntoIterator<Item = (String, String)>) -> Vec<KeyValue> {
    let entries = metadata.into_iter();
    entries
        .map(|(key, value)| KeyValue::new(key, value))
        .collect()
}

/// The key-value metadata of one file of `shard`, in order.
pub(super) fn metadata(plan: &Plan, file: FileKind, shard: u32) -> Vec<(String, String)> {
    let (s, q) = (&plan.signals, &plan.sequences);
    let tokenizer = plan.tokenizer.as_ref().map(|t| &t.fingerprint);
    let of_every_set = [
        ("format_version", json(&plan.format_version)),
        ("required_features", json(&plan.required_features)),
        ("file", json(&file.dir())),
        ("shard", json(&shard)),
        ("plan_fingerprint", json(&plan.fingerprint())),
        ("teacher_fingerprint", json(&plan.teacher.fingerprint)),
        ("tokenizer_fingerprint", json(&tokenizer)),
        ("corpus_fingerprint", json(&plan.corpus.fingerprint)),
        ("vocab_size", json(&plan.teacher.vocab_size)),
        ("seq_len", json(&q.seq_len)),
        ("packing", json(&q.packing)),
        ("attention", json(&q.attention)),
        ("positions", json(&q.positions)),
        ("sequence_bos", json(&q.sequence_bos)),
        ("groups", json(&s.groups)),
        ("top_k", json(&s.top_k)),
        ("temperatures", json(&s.temperatures)),
        ("rounding", json(&s.rounding)),
        ("mask_vocab_padding", json(&s.mask_vocab_padding)),
        ("score_k", json(&s.score_k)),
        ("order_seed", json(&plan.layout.order_seed)),
    ];
    of_every_set
        .into_iter()
        .chain(s.samples.iter().flat_map(sampling_metadata))
        .map(|(key, value)| (format!("{METADATA_PREFIX}{key}"), value))
        .collect()
}

fn sampling_metadata(samples: &PlanSamples) -> [(&'static str, String); 3] {
    [
        ("samples_n_draws", json(&samples.n_draws)),
        ("samples_tau", json(&samples.tau)),
        ("samples_seed", json(&samples.seed)),
    ]
}

/// A metadata value: strings as they are, all else as compact JSON.
fn json<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value).expect("plain values with string keys") {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    }
}
