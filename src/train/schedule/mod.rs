//! What depends on the step: the learning rate, the stage, and omega.
//!
//! Steps count from 0: step s runs after s steps are done. Everything here is a pure function of the step, and
//! of the state of the `auto` transition if used, so a resumed run needs nothing else to continue as it would
//! have.
//!
//! ```text
//! lr     ╱‾‾‾‾╲____   warm-up, then constant, linear, cosine or wsd; in stage 1 times lr_factor
//! omega  ‾‾‾‾‾╲____   stage 1 reads labels with omega, stage 2 reads tokens with omega 0
//!             n_kd    step: falls at once; linear: over decay_steps, which read labels still;
//!                     auto: at once, and maybe earlier
//! ```

mod auto;
mod demand;
mod learning_rate;
mod stages;
#[cfg(test)]
mod tests;

pub use auto::AutoTransition;
pub use demand::LabelDemand;
pub use learning_rate::learning_rate;
pub use stages::{Stage, StagePlan, StepPlan};
