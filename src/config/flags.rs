//! Options as flags, and which of them were typed.

use super::error::ConfigFileError;
use super::layers::Layers;
use super::write::to_table;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use toml::Table;

/// Every option at its default, the value of its flag when it is not typed.
///
/// # Panics
/// If an option has neither a default nor may be absent: a mistake in the declaration of `T`.
pub fn defaults<T: Args>() -> T {
    let command = T::augment_args(Command::new("defaults"));
    let matches = command.try_get_matches_from(["defaults"]);
    let parsed = matches.and_then(|matches| T::from_arg_matches(&matches));
    parsed.unwrap_or_else(|error| panic!("an option without a default: {error}"))
}

/// Keys of the options that help shows under `heading`.
pub fn keys_under<T: Args>(heading: &str) -> Vec<String> {
    let command = T::augment_args(Command::new("options"));
    let arguments = command.get_arguments();
    let under = arguments.filter(|argument| argument.get_help_heading() == Some(heading));
    under
        .map(|argument| argument.get_id().to_string())
        .collect()
}

/// Flags, flattened into a command: the options of `T`, with a record of which were typed, so that a
/// file may decide the rest.
#[derive(Debug, Clone)]
pub struct Typed<T> {
    values: T,
    /// Keys that were typed.
    typed: Vec<String>,
    /// Keys that those exclude.
    excluded: Vec<String>,
}

impl<T: Serialize + DeserializeOwned + JsonSchema> Typed<T> {
    /// The flags over `--set` over the file over the defaults.
    ///
    /// # Errors
    /// Those of [`Layers`]; a path that is not Unicode, where there is a file.
    pub fn over(self, file: Option<&Path>, set: &[String]) -> Result<T, ConfigFileError> {
        if file.is_none() && set.is_empty() {
            return Ok(self.values);
        }
        let layers = Layers::read(file, set)?;
        self.over_layers(layers)
    }

    /// The flags over `layers` over the defaults.
    ///
    /// # Errors
    /// Those of [`Typed::over`].
    pub fn over_layers(self, layers: Layers) -> Result<T, ConfigFileError> {
        let typed = self.table()?;
        layers.with_typed(typed, self.excluded).into_options()
    }
}

impl<T> Typed<T> {
    /// Whether the flag of `key` was.
    pub fn is_typed(&self, key: &str) -> bool {
        self.typed.iter().any(|typed| typed == key)
    }
}

impl<T: Serialize> Typed<T> {
    /// What was typed.
    pub(super) fn table(&self) -> Result<Table, ConfigFileError> {
        let mut typed = to_table(&self.values)?;
        typed.retain(|key, _| self.is_typed(key));
        Ok(typed)
    }
}

impl<T: FromArgMatches + Args> FromArgMatches for Typed<T> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let command = T::augment_args(Command::new("options"));
        let is_typed = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let arguments = command.get_arguments();
        let typed = arguments.filter(|arg| is_typed(arg.get_id().as_str()));
        let typed: Vec<&Arg> = typed.collect();
        let excludes = |a: &Arg, b: &Arg| command.get_arg_conflicts_with(a).contains(&b);
        let is_excluded = |arg: &&Arg| {
            let mut typed = typed.iter();
            typed.any(|typed| excludes(typed, arg) || excludes(arg, typed))
        };
        let excluded = command.get_arguments().filter(is_excluded);
        let key = |arg: &Arg| arg.get_id().to_string();
        Ok(Self {
            values: T::from_arg_matches(matches)?,
            excluded: excluded.map(key).collect(),
            typed: typed.into_iter().map(key).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<T: Args> Args for Typed<T> {
    fn augment_args(command: Command) -> Command {
        T::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        T::augment_args_for_update(command)
    }
}
