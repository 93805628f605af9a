//! Whether a configuration goes on with a run that another one began.

use super::error::ConfigError;
use super::run::RunConfig;
use std::collections::BTreeSet;
use std::path::Path;
use toml::{Table, Value};

/// Keys that change nothing that is learnt; one that ends in a dot stands for its whole table.
const FREE_KEYS: &[&str] = &[
    "output",
    "log.",
    "checkpoint.",
    "eval.",
    "data.prefetch",
    "train.memory_limit",
];

/// One key on which two configurations differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The dotted key.
    pub key: String,
    /// Its value here, as TOML; `not set` where it is absent.
    pub ours: String,
    /// Its value there.
    pub theirs: String,
}

impl RunConfig {
    /// The first key, by name, on which the two differ in a way that changes what is learnt.
    /// Free to change are `output`, `log.*`, `checkpoint.*`, `eval.*`, `data.prefetch` and
    /// `train.memory_limit`. Both should be resolved.
    ///
    /// # Errors
    /// A configuration that cannot be written as TOML.
    pub fn difference_that_matters(&self, other: &Self) -> Result<Option<Difference>, ConfigError> {
        let (ours, theirs) = (self.leaves()?, other.leaves()?);
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        let differs = |key: &&&String| !is_free(key) && ours.get(**key) != theirs.get(**key);
        Ok(keys.iter().find(differs).map(|key| Difference {
            key: key.to_string(),
            ours: said(ours.get(*key)),
            theirs: said(theirs.get(*key)),
        }))
    }

    /// Refuses to go on with `recorded`, the configuration of the run in `run`, where that would
    /// learn something else.
    ///
    /// # Errors
    /// [`ConfigError::OtherRun`], naming the key and both values.
    pub fn check_resumes(&self, recorded: &Self, run: &Path) -> Result<(), ConfigError> {
        let Some(difference) = self.difference_that_matters(recorded)? else {
            return Ok(());
        };
        Err(ConfigError::OtherRun {
            key: difference.key,
            ours: difference.ours,
            theirs: difference.theirs,
            run: run.into(),
        })
    }

    /// Every value by its dotted key.
    fn leaves(&self) -> Result<Table, ConfigError> {
        let table = Table::try_from(self).map_err(|source| ConfigError::Serialize { source })?;
        let mut leaves = Table::new();
        flatten("", table, &mut leaves);
        Ok(leaves)
    }
}

fn flatten(prefix: &str, table: Table, leaves: &mut Table) {
    for (key, value) in table {
        let key = format!("{prefix}{key}");
        match value {
            Value::Table(inner) => flatten(&format!("{key}."), inner, leaves),
            value => drop(leaves.insert(key, value)),
        }
    }
}

fn is_free(key: &str) -> bool {
    FREE_KEYS
        .iter()
        .any(|free| key == *free || (free.ends_with('.') && key.starts_with(free)))
}

fn said(value: Option<&Value>) -> String {
    value.map_or("not set".to_owned(), Value::to_string)
}
