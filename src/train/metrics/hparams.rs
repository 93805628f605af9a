//! A run's configuration, for TensorBoard's HPARAMS tab.
//!
//! The plugin reads no values, only the metadata of two summaries, at the start and at the end of a session;
//! each has a dummy tensor.

use super::proto::{
    DT_FLOAT, Dim, HparamsData, HparamsWhat, Kind, PluginData, SESSION_SUCCESS, SessionEndInfo,
    SessionStartInfo, SummaryMetadata, SummaryValue, Tensor, TensorShape, Value,
};
use crate::config::leaves;
use crate::train::config::RunConfig;
use prost::Message;
use std::collections::BTreeMap;

const PLUGIN: &str = "hparams";
const START_TAG: &str = "_hparams_/session_start_info";
const END_TAG: &str = "_hparams_/session_end_info";

/// A setting that runs may differ in.
#[derive(Debug, Clone, PartialEq)]
pub enum Hparam {
    /// A number.
    Number(f64),
    /// A word, a path, or a list.
    Text(String),
    /// Yes or no.
    Flag(bool),
}

/// Settings by key, dotted as in run.toml.
pub type Hparams = BTreeMap<String, Hparam>;

/// All settings of `config` that have a value, except the output directory.
pub fn hparams_of(config: &RunConfig) -> Hparams {
    // A configuration comes from TOML, so it can be converted back.
    let table = toml::Table::try_from(config).unwrap_or_default();
    let leaves = leaves(table).into_iter();
    let mut found: Hparams = leaves.map(|(key, value)| (key, value.into())).collect();
    found.remove("output");
    found
}

impl From<toml::Value> for Hparam {
    fn from(value: toml::Value) -> Self {
        match value {
            toml::Value::Integer(number) => Self::Number(number as f64),
            toml::Value::Float(number) => Self::Number(number),
            toml::Value::Boolean(flag) => Self::Flag(flag),
            toml::Value::String(text) => Self::Text(text),
            other => Self::Text(other.to_string()),
        }
    }
}

/// The summary at the start of a session.
pub(super) fn start(hparams: &Hparams, seconds: f64) -> SummaryValue {
    let value = |hparam: &Hparam| Value {
        kind: Some(match hparam {
            Hparam::Number(number) => Kind::Number(*number),
            Hparam::Text(text) => Kind::Text(text.clone()),
            Hparam::Flag(flag) => Kind::Flag(*flag),
        }),
    };
    let hparams = hparams
        .iter()
        .map(|(key, hparam)| (key.clone(), value(hparam)));
    let info = SessionStartInfo {
        hparams: hparams.collect(),
        start_time_secs: seconds,
    };
    summary(START_TAG, HparamsWhat::Start(info))
}

/// The summary at the end of a session.
pub(super) fn end(seconds: f64) -> SummaryValue {
    let info = SessionEndInfo {
        status: SESSION_SUCCESS,
        end_time_secs: seconds,
    };
    summary(END_TAG, HparamsWhat::End(info))
}

fn summary(tag: &str, what: HparamsWhat) -> SummaryValue {
    let content = HparamsData { what: Some(what) }.encode_to_vec();
    SummaryValue {
        tag: tag.to_owned(),
        simple_value: None,
        tensor: Some(Tensor {
            dtype: DT_FLOAT,
            shape: Some(TensorShape {
                dim: vec![Dim { size: 1 }],
            }),
            float_val: vec![0.0],
        }),
        metadata: Some(SummaryMetadata {
            plugin_data: Some(PluginData {
                plugin_name: PLUGIN.to_owned(),
                content,
            }),
        }),
    }
}
