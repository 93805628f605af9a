//! Configuration: what decides a run, from a TOML file, `--set KEY=VALUE` over it, and flags over both.
//!
//! ```text
//! file ──────────────────▶ table ◀─ --set KEY=VALUE ◀─ flags that were typed
//!                             │
//!                             └─ serde ─▶ options ─ written beside the output
//! ```
//!
//! An option is declared once, as a field of a struct that derives `serde` and `schemars`: its name is
//! the key, its type decides what is read, its doc comment is what help and schema say. A struct that
//! also derives `clap::Args` has a flag for each key, with underscores as hyphens; clap's default
//! is then the default everywhere ([`defaults`]).

mod error;
mod flags;
mod layers;
mod overrides;
mod starter;
mod write;

pub use error::ConfigFileError;
pub use flags::{Typed, defaults};
pub use layers::Layers;
pub use overrides::text_override;
pub use starter::starter;
pub use write::{to_toml, write};
