//! What the runs were trained with: the same for all arms, and what differs.

use crate::config::leaves;
use crate::experiment::arm::OWN_KEYS;
use crate::experiment::report::compare::{Arm, Comparison};
use crate::shards::LabelSet;
use crate::train::run::CONFIG_NAME;
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// Keys with a letter of their own in formulas.
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
    /// A key, and what each arm has, in the order of the comparison; `None` where it has none.
    pub(crate) by_arm: Vec<(String, Vec<Option<String>>)>,
}

impl Settings {
    /// Of the resolved configurations in the runs' directories, which are counted from `root`.
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

/// Nothing of an arm that no run has recorded, as in an experiment of an earlier version.
fn of_arm(arm: &Arm<'_>, root: &Path) -> BTreeMap<String, String> {
    let configs = arm.data.runs.iter();
    let mut configs = configs.map(|run| root.join(&run.dir).join(CONFIG_NAME));
    let text = configs.find_map(|path| std::fs::read_to_string(path).ok());
    let table = text
        .and_then(|text| text.parse::<Table>().ok())
        .unwrap_or_default();
    let leaves = leaves(table).into_iter();
    let mut found: BTreeMap<String, String> =
        leaves.map(|(key, value)| (key, said(value))).collect();
    if let Some(labels) = found.get("data.labels").cloned() {
        found.extend(of_labels(Path::new(&labels)));
    }
    found.retain(|key, _| !OWN_KEYS.contains(&key.as_str()));
    found
}

/// A value as a reader of run.toml knows it.
fn said(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Float(number) => format!("{number:?}"),
        value => value.to_string(),
    }
}

/// What labels hold, as far as they are still there.
fn of_labels(dir: &Path) -> Vec<(String, String)> {
    let Ok(set) = LabelSet::open(dir) else {
        return Vec::new();
    };
    let signals = &set.segments[0].signals;
    let top_k = (signals.top_k > 0).then(|| ("labels.top_k", signals.top_k.to_string()));
    let samples = signals.samples.iter();
    let samples = samples.map(|samples| ("labels.samples", samples.n_draws.to_string()));
    let found = top_k.into_iter().chain(samples);
    found.map(|(key, value)| (key.to_owned(), value)).collect()
}

fn with_letter(key: &str) -> String {
    match LETTERS.iter().find(|(known, _)| *known == key) {
        Some((_, letter)) => format!("{key} ({letter})"),
        None => key.to_owned(),
    }
}
