//! Settings of the runs: those that all arms share, and those that differ.

use crate::config::leaves;
use crate::experiment::arm::OWN_KEYS;
use crate::experiment::report::compare::{Arm, Comparison};
use crate::shards::LabelSet;
use crate::storage;
use crate::train::config::LabelDirs;
use crate::train::run::CONFIG_NAME;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// File in which `saltworks_lm.train` records how it computes.
const ENGINE_NAME: &str = "torch.json";
/// Keys with their own letter in formulas.
const LETTERS: [(&str, &str); 7] = [
    ("data.seq_len", "T"),
    ("train.batch_size", "B"),
    ("model.d_model", "D"),
    ("model.d_ff", "F"),
    ("model.n_heads", "H"),
    ("labels.top_k", "K"),
    ("labels.samples", "N"),
];

/// Settings by key, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The same for all arms.
    pub(crate) common: Vec<(String, String)>,
    /// A key, and each arm's value in the order of the comparison; `None` if it has none.
    pub(crate) by_arm: Vec<(String, Vec<Option<String>>)>,
}

impl Settings {
    /// From the resolved configurations in the runs' directories, which are relative to `root`.
    pub(crate) fn of(comparison: &Comparison<'_>, root: &Path) -> Self {
        let arms: Vec<BTreeMap<String, String>> = comparison
            .arms
            .iter()
            .map(|arm| of_arm(arm, root))
            .collect();
        let mut keys: Vec<&String> = arms.iter().flat_map(BTreeMap::keys).collect();
        keys.sort();
        keys.dedup();
        let mut settings = Self::default();
        for key in keys {
            let values: Vec<Option<String>> =
                arms.iter().map(|arm| arm.get(key).cloned()).collect();
            match &values[0] {
                Some(first) if values.iter().all(|value| *value == values[0]) => {
                    settings.common.push((with_letter(key), first.clone()));
                }
                _ => settings.by_arm.push((with_letter(key), values)),
            }
        }
        settings
    }
}

/// Empty for an arm whose runs recorded nothing, as in an experiment of an earlier version.
fn of_arm(arm: &Arm<'_>, root: &Path) -> BTreeMap<String, String> {
    let configs = arm.data.runs.iter();
    let mut configs = configs.map(|run| root.join(&run.dir).join(CONFIG_NAME));
    let text = configs.find_map(|path| storage::read_to_string(&path).ok());
    let table = text
        .and_then(|text| text.parse::<Table>().ok())
        .unwrap_or_default();
    let labels = of_labels(&label_dirs(&table));
    let leaves = leaves(table).into_iter();
    let mut found: BTreeMap<String, String> =
        leaves.map(|(key, value)| (key, shown(value))).collect();
    found.extend(labels);
    found.extend(of_engine(arm, root));
    found.retain(|key, _| !OWN_KEYS.contains(&key.as_str()));
    found
}

/// How the Python trainer computed a run, from `torch.json`, since no key says it.
fn of_engine(arm: &Arm<'_>, root: &Path) -> BTreeMap<String, String> {
    let dirs = arm.data.runs.iter().map(|run| root.join(&run.dir));
    let mut texts = dirs.filter_map(|dir| storage::read(&dir.join(ENGINE_NAME)).ok());
    let engine: serde_json::Map<String, serde_json::Value> = texts
        .find_map(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let shown = engine.into_iter().map(|(key, value)| {
        let text = value.as_str().map_or(value.to_string(), str::to_owned);
        (format!("torch.json: {key}"), text)
    });
    shown.collect()
}

/// A value as in run.toml.
fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Float(number) => format!("{number:?}"),
        value => value.to_string(),
    }
}

/// `data.labels`: one path, or a list.
fn label_dirs(config: &Table) -> Vec<PathBuf> {
    let labels = config.get("data").and_then(|data| data.get("labels"));
    let dirs = labels.and_then(|labels| LabelDirs::deserialize(labels.clone()).ok());
    dirs.map_or(Vec::new(), |dirs| dirs.all().to_vec())
}

/// The contents of labels that still exist; with several teachers, joined by commas.
fn of_labels(dirs: &[PathBuf]) -> Vec<(String, String)> {
    let sets = dirs.iter().filter_map(|dir| LabelSet::open(dir).ok());
    let plans: Vec<_> = sets.map(|set| set.segments[0].signals.clone()).collect();
    let top_k = plans.iter().filter(|signals| signals.top_k > 0);
    let top_k: Vec<String> = top_k.map(|signals| signals.top_k.to_string()).collect();
    let samples = plans.iter().filter_map(|signals| signals.samples.as_ref());
    let samples: Vec<String> = samples.map(|samples| samples.n_draws.to_string()).collect();
    let found = [("labels.top_k", top_k), ("labels.samples", samples)];
    let found = found.into_iter().filter(|(_, values)| !values.is_empty());
    found
        .map(|(key, values)| (key.to_owned(), values.join(", ")))
        .collect()
}

fn with_letter(key: &str) -> String {
    match LETTERS.iter().find(|(known, _)| *known == key) {
        Some((_, letter)) => format!("{key} ({letter})"),
        None => key.to_owned(),
    }
}
