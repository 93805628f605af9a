//! How ids are to be drawn.

use super::{LabelOptions, TAU_RANGE};
use crate::label::error::LabelError;
use crate::shards::Group;
use crate::signals::Sampling;

/// Default number of samples per position. It is visible in the plan.
const DEFAULT_DRAWS: u32 = 50;

impl LabelOptions {
    /// The named groups, or the default: a number of draws without named groups adds `samples` to
    /// it.
    pub(super) fn requested_groups(&self) -> Vec<Group> {
        self.groups.clone().unwrap_or_else(|| {
            let draws = self.samples.map(|_| Group::Samples);
            [Group::Stats, Group::Topk]
                .into_iter()
                .chain(draws)
                .collect()
        })
    }

    /// How ids are drawn, if the group `samples` is requested.
    pub(super) fn sampling(&self, has_group: bool) -> Result<Option<Sampling>, LabelError> {
        if !has_group {
            // Without --groups, --samples would have requested the group.
            let expected = match self.groups {
                Some(_) => "samples in --groups, or this option left out",
                None => "--samples N with it, or this option left out",
            };
            let given = [
                ("--samples", self.samples.map(|n| n.to_string())),
                ("--samples-tau", self.samples_tau.map(|tau| tau.to_string())),
                (
                    "--samples-seed",
                    self.samples_seed.map(|seed| seed.to_string()),
                ),
            ];
            let given = given.into_iter().find_map(|(flag, got)| Some((flag, got?)));
            return match given {
                Some((flag, got)) => Err(LabelError::option(flag, expected, got)),
                None => Ok(None),
            };
        }
        let asked = self.samples.unwrap_or(DEFAULT_DRAWS);
        let n_draws = u16::try_from(asked).ok().filter(|&n| n > 0);
        let tau = self.samples_tau.unwrap_or(1.0);
        if !TAU_RANGE.contains(&tau) {
            let expected = "a temperature from 0.01 to 100";
            return Err(LabelError::option("--samples-tau", expected, tau));
        }
        Ok(Some(Sampling {
            n_draws: n_draws
                .ok_or_else(|| LabelError::option("--samples", "from 1 to 65535", asked))?,
            tau,
            seed: self.samples_seed.unwrap_or(0),
        }))
    }
}
