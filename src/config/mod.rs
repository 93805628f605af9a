//! Configuration of a run, from a TOML file, overridden by `--set KEY=VALUE`, and both by flags.
//!
//! ```text
//! file ──────────────────▶ table ◀─ --set KEY=VALUE ◀─ flags that were typed
//!                             │
//!                             └─ serde ─▶ options ─ written beside the output
//! ```
//!
//! An option is declared once, as a field of a struct that derives `serde` and `schemars`: its name is
//! the key, its type decides how it is read, its doc comment is the text of help and schema. A struct
//! that also derives `clap::Args` has a flag for each key, with underscores as hyphens; clap's default
//! is then the default everywhere ([`defaults`]).
//!
//! Relative paths in a file are relative to that file; those of `--set` and of flags to the working
//! directory. Configurations written next to an output have absolute paths.

mod error;
mod flags;
mod layers;
mod missing;
mod overrides;
mod paths;
mod ranges;
mod starter;
mod write;

pub use error::{ConfigFileError, MissingOption};
pub use flags::{Typed, defaults, keys_under};
pub use layers::Layers;
pub use missing::{check_complete, require_marked};
pub use overrides::text_override;
pub use paths::{PATH_KEYS, is_path_key, with_absolute_paths};
pub use ranges::check_ranges;
pub use starter::starter;
pub use write::{leaves, to_table, to_toml, write};
