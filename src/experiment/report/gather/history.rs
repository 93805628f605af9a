//! The program calls that made an experiment.

use crate::invocations::{Invocation, read_invocations};
use crate::storage::StorageError;
use std::path::Path;

/// Calls in order of time, without repeated commands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct History(Vec<Invocation>);

impl History {
    /// The calls recorded in these directories.
    pub(crate) fn of<'a>(dirs: impl IntoIterator<Item = &'a Path>) -> Result<Self, StorageError> {
        let mut found: Vec<Invocation> = Vec::new();
        for dir in dirs {
            found.extend(read_invocations(dir)?);
        }
        found.sort_by(|a, b| a.time.cmp(&b.time));
        let mut known: Vec<Invocation> = Vec::new();
        for call in found {
            let is_known =
                |other: &Invocation| other.argv == call.argv && other.directory == call.directory;
            if !known.iter().any(is_known) {
                known.push(call);
            }
        }
        Ok(Self(known))
    }

    /// Shell lines; consecutive calls of the same program in the same directory share a comment line with time,
    /// program and directory.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut last = None;
        for call in &self.0 {
            let place = (&call.program, &call.directory);
            if last != Some(place) {
                let (time, directory) = (date_and_minute(&call.time), call.directory.display());
                lines.push(format!("# {time}, {}, in {directory}", call.program));
                last = Some(place);
            }
            lines.push(call.shell_line());
        }
        lines
    }

    /// Machine, versions and dates.
    pub(crate) fn facts(&self) -> Vec<(String, String)> {
        let built = |call: &Invocation| {
            let Invocation {
                program,
                commit,
                target,
                ..
            } = call;
            format!("{program} (commit {commit}, {target})")
        };
        let mut facts = vec![
            ("Machine", self.distinct(|call| call.machine.clone())),
            ("Programs", self.distinct(built)),
        ];
        if let (Some(first), Some(last)) = (self.0.first(), self.0.last()) {
            facts.push(("First command", date_and_minute(&first.time)));
            facts.push(("Last command", date_and_minute(&last.time)));
        }
        facts.retain(|(_, value)| !value.is_empty());
        facts
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    fn distinct(&self, of: impl Fn(&Invocation) -> String) -> String {
        let mut values: Vec<String> = self.0.iter().map(of).collect();
        values.sort();
        values.dedup();
        values.join("; ")
    }
}

/// `2026-11-29 12:00 UTC`.
fn date_and_minute(time: &str) -> String {
    match time.split_once('T') {
        Some((date, clock)) => format!("{date} {} UTC", clock.chars().take(5).collect::<String>()),
        None => time.to_owned(),
    }
}
