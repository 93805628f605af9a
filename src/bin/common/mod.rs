//! What both binaries do in the same way.

pub(crate) mod exit;
pub(crate) mod progress;
pub(crate) mod signals;
