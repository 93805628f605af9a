//! A run's file and the `--set` options over it.

use super::error::ConfigError;
use super::run::RunConfig;
use crate::config::Layers;
use std::path::Path;
use toml::Table;

impl RunConfig {
    /// Reads a configuration file, and then each of `overrides` over it, in order; see
    /// [`Layers::read`].
    ///
    /// # Errors
    /// Those of [`Layers`]. Ranges are for [`RunConfig::validate`].
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Ok(Layers::read(Some(path), overrides)?.into_options()?)
    }

    /// The same of the keys in `table`, whose relative paths stay as they are. `name` is for messages alone.
    ///
    /// # Errors
    /// Those of [`RunConfig::read`], but for an unreadable file.
    pub fn of_table(table: Table, name: &str, overrides: &[String]) -> Result<Self, ConfigError> {
        let layers = Layers::of_text("", Path::new(name), overrides)?;
        Ok(layers.over(table).into_options()?)
    }
}
