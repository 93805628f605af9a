//! Which process writes to a run in a store: each takes a number, and stops once there is a higher one.
//!
//! ```text
//! URL/attempts/000001     name of the process that began the run
//! URL/attempts/000002     of the one that resumed it
//! ```
//!
//! A number is taken by create-if-absent, so of two processes that begin at once one gets it. Nothing has to be given
//! back, so a killed process is in nobody's way. Whoever has a number looks for the next one before it writes.
//!
//! `.attempts` in the working directory lists the names that processes on this machine had. Where the store's last
//! name is among them, nobody has written to the store since, and the directory has all that the store has.

use super::RunError;
use crate::storage::{self, Publish, StorageError, create_if_absent, is_file, replace};
use crate::train::TrainError;
use std::path::{Path, PathBuf};

/// In the store: who has which number.
pub(super) const ATTEMPTS: &str = "attempts";
/// In the working directory: names of this machine.
const OWN: &str = ".attempts";

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
        // The answer to one that was created may have been lost, and the second try then finds it.
        match created == Publish::Created || attempt.name == name {
            true => Ok(attempt),
            false => Err(attempt.taken_over()),
        }
    }

    /// Refuses to go on where another process has taken the next number.
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

/// Whether `name` is of a process that worked in the directory `dir`.
pub(super) fn is_own(dir: &Path, name: &str) -> Result<bool, StorageError> {
    Ok(own(dir)?.lines().any(|own| own == name))
}

/// Notes that `name` is of a process that works in `dir`; before it is in the store, so that a kill between the two
/// makes nobody take the directory for another's.
pub(super) fn add_own(dir: &Path, name: &str) -> Result<(), StorageError> {
    let names = own(dir)?;
    replace(&dir.join(OWN), format!("{names}{name}\n").as_bytes())
}

fn own(dir: &Path) -> Result<String, StorageError> {
    let bytes = storage::read_if_there(&dir.join(OWN))?.unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
