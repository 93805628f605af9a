//! The x axis of curves.

use crate::figure::Unit;
use serde::{Deserialize, Serialize};

/// What the curves are drawn over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum XAxis {
    /// Optimizer steps.
    #[default]
    Step,
    /// Targets trained on.
    Tokens,
    /// Wall-clock time of training.
    Seconds,
}

impl XAxis {
    /// The value on this axis.
    pub(crate) fn of(self, steps: f64, tokens: f64, seconds: f64) -> f64 {
        match self {
            Self::Step => steps,
            Self::Tokens => tokens,
            Self::Seconds => seconds,
        }
    }

    /// A value on this axis in words.
    pub fn place(self, at: f64) -> String {
        match self {
            Self::Step => format!("step {at:.0}"),
            Self::Tokens => format!("{at:.0} tokens"),
            Self::Seconds => format!("{at:.0} s"),
        }
    }

    /// A suitable unit for values up to `largest`.
    pub(crate) fn unit(self, largest: f64) -> Unit {
        // A unit is used only from twice its size on, so that ticks are not all below 1.
        let units: &[(&'static str, f64)] = match self {
            Self::Step if largest >= 1e5 => &[("thousand steps", 1e3)],
            Self::Step => &[("steps", 1.0)],
            Self::Tokens => &[
                ("billion tokens", 1e9),
                ("million tokens", 1e6),
                ("thousand tokens", 1e3),
                ("tokens", 1.0),
            ],
            Self::Seconds => &[("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0)],
        };
        let fits = units.iter().find(|(_, size)| largest >= 2.0 * size);
        let (name, size) = *fits.unwrap_or(&units[units.len() - 1]);
        Unit::counted(name, size)
    }
}
