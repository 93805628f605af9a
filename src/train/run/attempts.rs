//! Which process writes to a run in a store: each takes a number, and stops once there is a higher one.
//!
//! ```text
//! URL/attempts/000001     name of the process that started the run
//! URL/attempts/000002     name of the process that resumed it
//! ```
//!
//! A number is taken by create-if-absent, so only one of two processes that start at the same time gets it. Numbers are
//! never given back, so a killed process blocks nobody. A process checks for the next number before every write.
//!
//! `.attempts` in the working directory lists the names that processes on this machine used. If the store's last
//! name is among them, no other machine has written to the store since, and the directory has all that the store has.

use super::RunError;
use crate::storage::{self, Publish, StorageError, create_if_absent, is_file, replace};
use crate::train::TrainError;
use std::path::{Path, PathBuf};

/// In the store: the process of each number.
pub(super) const ATTEMPTS: &str = "attempts";
/// In the working directory: names of the processes of this machine.
const OWN_NAMES: &str = ".attempts";

/// A number, and the process that took it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    run: PathBuf,
    number: u64,
    /// Host, process and a nonce.
    pub(super) name: String,
}

impl Attempt {
    /// The last one of the run at `run`; `None` if there is none.
    pub(super) fn last(run: &Path) -> Result<Option<Self>, StorageError> {
        let entries = match storage::list(&run.join(ATTEMPTS)) {
            Err(error) if error.is_not_found() => return Ok(None),
            entries => entries?,
        };
        let numbers = entries.iter().filter_map(|entry| entry.name.to_str());
        let last = numbers.filter_map(|name| name.parse().ok()).max();
        last.map(|number| Self::at(run, number)).transpose()
    }

    fn at(run: &Path, number: u64) -> Result<Self, StorageError> {
        Ok(Self {
            run: run.to_owned(),
            number,
            name: storage::read_to_string(&place(run, number))?,
        })
    }

    /// Takes the number after `last` for the process called `name`.
    ///
    /// # Errors
    /// [`RunError::TakenOver`] where another process has it.
    pub(super) fn take(run: &Path, last: Option<&Self>, name: &str) -> Result<Self, TrainError> {
        let number = last.map_or(1, |last| last.number + 1);
        let created = create_if_absent(&place(run, number), name.as_bytes())?;
        let attempt = Self::at(run, number)?;
        // If the response to the first request was lost, the retry finds the file that it created.
        match created == Publish::Created || attempt.name == name {
            true => Ok(attempt),
            false => Err(attempt.taken_over()),
        }
    }

    /// Fails if another process has taken the next number.
    pub(super) fn check(&self) -> Result<(), TrainError> {
        match is_file(&place(&self.run, self.number + 1))? {
            false => Ok(()),
            true => Err(Self::at(&self.run, self.number + 1)?.taken_over()),
        }
    }

    fn taken_over(self) -> TrainError {
        RunError::TakenOver {
            url: self.run,
            by: self.name,
        }
        .into()
    }
}

fn place(run: &Path, number: u64) -> PathBuf {
    run.join(ATTEMPTS).join(format!("{number:06}"))
}

/// Whether `name` is that of a process that worked in the directory `dir`.
pub(super) fn is_own(dir: &Path, name: &str) -> Result<bool, StorageError> {
    Ok(own(dir)?.lines().any(|own| own == name))
}

/// Records `name` as that of a process that works in `dir`. To be called before it is written to the store: a kill
/// between the two must not make the directory look like that of another machine.
pub(super) fn add_own(dir: &Path, name: &str) -> Result<(), StorageError> {
    let names = own(dir)?;
    replace(&dir.join(OWN_NAMES), format!("{names}{name}\n").as_bytes())
}

fn own(dir: &Path) -> Result<String, StorageError> {
    let bytes = storage::read_if_exists(&dir.join(OWN_NAMES))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
