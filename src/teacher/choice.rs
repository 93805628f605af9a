//! Where logits are reduced: the option `--reduce`.

use super::device::DeviceChoice;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Where logits become signals.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum ReduceChoice {
    /// By device: host on the CPU, cuda on a CUDA device, graph on any other.
    #[default]
    Auto,
    /// On the CPU, from all logits of each position; every group.
    Host,
    /// In the model's graph, by a head appended to it in memory, so that only the stored ids of each
    /// position leave the device; only the groups scores and topk.
    Graph,
    /// On the CUDA device that the model runs on, by a kernel that reads the logits there; every
    /// group, K up to 2048. Never run on a GPU yet: compare with host first.
    Cuda,
}

impl ReduceChoice {
    /// The place used on this device; never `auto`.
    pub(super) fn on(self, device: DeviceChoice) -> Self {
        match (self, device) {
            (Self::Auto, DeviceChoice::Auto | DeviceChoice::Cpu) => Self::Host,
            (Self::Auto, DeviceChoice::Cuda(_)) => Self::Cuda,
            (Self::Auto, _) => Self::Graph,
            (chosen, _) => chosen,
        }
    }

    /// A note for the user about this place on this device.
    pub(super) fn note(self, device: DeviceChoice) -> Option<String> {
        let copied = self.on(device) == Self::Host && device != DeviceChoice::Cpu;
        let instead = match device {
            DeviceChoice::Cuda(_) => {
                "--reduce cuda copies only the reduced values of each position"
            }
            _ => "--reduce graph with --groups topk copies only the top-k ids",
        };
        copied.then(|| {
            format!("all logits are copied from {device} and reduced on the CPU; {instead}")
        })
    }
}

impl fmt::Display for ReduceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Host => "host",
            Self::Graph => "graph",
            Self::Cuda => "cuda",
        })
    }
}
