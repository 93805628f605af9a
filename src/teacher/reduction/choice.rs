//! Where logits are reduced, as a user says it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where logits become signals.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum ReduceChoice {
    /// By device.
    #[default]
    Auto,
    /// On this machine's processor, from all logits of every position. Every group.
    Host,
}

impl fmt::Display for ReduceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Host => "host",
        })
    }
}
