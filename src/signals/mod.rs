//! Pure maths on one row of logits, and on one sequence of rows. No I/O.

mod types;

pub use types::{Logits, LogitsData, PositionSignals, Rounding, Scores};
