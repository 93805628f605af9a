//! `schemas/` holds the code to its word: the files are generated from the types.

#![allow(clippy::unwrap_used)] // helpers of tests are tests

use saltworks::shards::{Manifest, Plan, Sidecar, describe_columns};
use saltworks::tokens::CorpusJson;
use schemars::schema_for;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Compares `schemas/NAME` with `generated`, or rewrites it where SALTWORKS_BLESS=1.
fn assert_committed(name: &str, generated: Value) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(name);
    let text = serde_json::to_string_pretty(&sorted(generated)).unwrap() + "\n";
    if std::env::var_os("SALTWORKS_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "schemas/{name} is not what the types say; if the change is meant, run\n\
         SALTWORKS_BLESS=1 cargo test --test schemas\nand commit the difference"
    );
}

/// Keys in one order, whatever features serde_json was built with.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<_> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(Map::from_iter(entries))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

#[test]
fn the_plan_is_as_its_schema_says() {
    assert_committed("plan.schema.json", schema_for!(Plan).to_value());
}

#[test]
fn the_sidecar_is_as_its_schema_says() {
    assert_committed("sidecar.schema.json", schema_for!(Sidecar).to_value());
}

#[test]
fn the_manifest_is_as_its_schema_says() {
    assert_committed("manifest.schema.json", schema_for!(Manifest).to_value());
}

#[test]
fn the_token_corpus_is_as_its_schema_says() {
    assert_committed("corpus.schema.json", schema_for!(CorpusJson).to_value());
}

#[cfg(feature = "label")]
#[test]
fn the_label_configuration_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::label::LabelOptions);
    assert_committed("label-config.schema.json", schema.to_value());
}

#[cfg(feature = "train")]
#[test]
fn the_run_configuration_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::train::config::RunConfig);
    assert_committed("run-config.schema.json", schema.to_value());
}

#[cfg(feature = "train")]
#[test]
fn the_experiment_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::experiment::ExperimentConfig);
    assert_committed("experiment-config.schema.json", schema.to_value());
}

#[test]
fn the_columns_are_as_their_table_says() {
    let columns = json!({
        "format_version": saltworks::shards::FORMAT_VERSION,
        "columns": describe_columns(),
    });
    assert_committed("shard-columns.json", columns);
}

#[test]
fn the_policy_of_a_selection_is_as_its_schema_says() {
    let schema = schema_for!(saltworks::select::Policy);
    assert_committed("selection-policy.schema.json", schema.to_value());
}

#[test]
fn the_columns_of_a_selection_are_as_their_table_says() {
    let columns = json!({
        "format_version": saltworks::shards::SELECTION_VERSION,
        "columns": saltworks::shards::describe_selection(),
    });
    assert_committed("selection-columns.json", columns);
}
