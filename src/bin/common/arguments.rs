//! Options shared by several commands, each declared once.

use super::copies::show_copy;
use super::print;
use saltworks::config::{ConfigFileError, Layers};
use saltworks::storage::{self, StorageError};
use serde::Serialize;
use std::path::PathBuf;

/// Help heading of options for what is written and printed.
pub(crate) const OUTPUT: &str = "Output";
/// Help heading of options that do not change results.
pub(crate) const SPEED: &str = "Speed and memory";

/// A file of options, and options that override it.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Configuration")]
pub(crate) struct Configuration {
    /// Configuration file (TOML), which `init` writes; docs/options.md lists its keys. Relative paths in it are
    /// relative to it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Override a key of the file, such as train.steps=2000; `KEY=` removes it. May be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

impl Configuration {
    /// The file with its overrides.
    pub(crate) fn layers(&self) -> Result<Layers, ConfigFileError> {
        Layers::read(self.config.as_deref(), &self.set)
    }
}

/// Whether results are printed as JSON.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub(crate) struct Json {
    /// Print one JSON object instead of text.
    #[arg(long = "json", id = "json", help_heading = OUTPUT)]
    pub(crate) is_asked: bool,
}

impl Json {
    /// Prints `value` if JSON was requested; returns whether it was.
    pub(crate) fn print(self, value: &impl Serialize) -> std::io::Result<bool> {
        if self.is_asked {
            print::json(value, true)?;
        }
        Ok(self.is_asked)
    }
}

/// Whether an output may replace an existing one.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub(crate) struct Overwrite {
    /// Replace existing output.
    #[arg(long, help_heading = OUTPUT)]
    pub(crate) overwrite: bool,
}

/// Options for object stores, whose paths are URLs.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Object stores")]
pub(crate) struct Stores {
    /// An option of the object stores, which overrides the environment, such as
    /// endpoint=https://host or region=us-east-2; docs/object-stores.md lists them. May be
    /// repeated.
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    pub(crate) storage_option: Vec<(String, String)>,

    /// Write to a store that cannot refuse to overwrite an object. Only one process at a time may write
    /// there.
    #[arg(long, global = true)]
    pub(crate) single_writer: bool,
}

impl Stores {
    /// Takes effect for the whole process.
    pub(crate) fn apply(&self) -> Result<(), StorageError> {
        storage::on_copy(show_copy);
        storage::set_options(&self.storage_option, self.single_writer)
    }
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as region=us-east-2".to_owned()),
    }
}

/// The number of threads.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(skip)]
pub(crate) struct Threads {
    /// Threads; 0 for one per core. Results are the same for any number.
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = SPEED)]
    pub(crate) threads: usize,
}
