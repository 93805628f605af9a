//! Code shared by both binaries.

#[allow(dead_code, reason = "each binary uses its part")]
pub(crate) mod arguments;
pub(crate) mod command_line;
pub(crate) mod completions;
pub(crate) mod copies;
pub(crate) mod exit;
#[allow(dead_code, reason = "each binary uses its part")]
pub(crate) mod invocation;
pub(crate) mod man;
pub(crate) mod model_files;
#[allow(dead_code, unused, reason = "each binary uses its part")]
pub(crate) mod print;
pub(crate) mod progress;
#[allow(dead_code, reason = "each binary uses its part")]
pub(crate) mod signals;
pub(crate) mod version;
