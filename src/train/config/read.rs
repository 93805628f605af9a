//! A run's file and the `--set` options over it.

use super::error::ConfigError;
use super::run::RunConfig;
use crate::config::{ConfigFileError, Layers};
use std::path::Path;

impl RunConfig {
    /// Reads a configuration file, and then each of `overrides` over it, in order; see
    /// [`Layers::read`].
    ///
    /// # Errors
    /// Those of [`Layers`]. Ranges are for [`RunConfig::validate`].
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::of(Layers::read(Some(path), overrides)?)
    }

    /// The same of `text`, which is of `path` or of a part of it: that is for messages alone.
    ///
    /// # Errors
    /// Those of [`RunConfig::read`], but for an unreadable file.
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        Self::of(Layers::of_text(text, path, overrides)?)
    }

    fn of(layers: Layers) -> Result<Self, ConfigError> {
        layers.into_options().map_err(|error| match &error {
            ConfigFileError::Parse { source, .. } if lacks_mode(source.message()) => missing_mode(),
            ConfigFileError::Override { reason, .. } if lacks_mode(reason) => missing_mode(),
            _ => error.into(),
        })
    }
}

/// A `[kd]` without `mode`, which no other table has.
fn lacks_mode(message: &str) -> bool {
    message == "missing field `mode`"
}

/// Says it better than serde.
fn missing_mode() -> ConfigError {
    ConfigError::Missing {
        key: "kd.mode",
        expected: "how the teacher is used: baseline, rkd, salt, salt-ds or ds-ce".to_owned(),
        remedy: "say it wherever another key of [kd] is given (--set kd.mode=salt), or take the table out to train without a teacher".to_owned(),
    }
}
