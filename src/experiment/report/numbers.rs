//! Quantities over seeds, formatted for readers.

use crate::experiment::OverSeeds;
use crate::page::{fixed, signed};

impl OverSeeds {
    /// Mean, with the standard deviation if there is one: `4.175 ± 0.012`.
    pub(super) fn text(&self, digits: usize) -> String {
        self.with_sd(fixed(self.mean, digits), digits)
    }

    /// The same, always with a sign.
    pub(super) fn signed_text(&self, digits: usize) -> String {
        self.with_sd(signed(self.mean, digits), digits)
    }

    fn with_sd(&self, mean: String, digits: usize) -> String {
        match self.sd {
            Some(sd) => format!("{mean} \u{b1} {sd:.digits$}"),
            None => mean,
        }
    }
}
