//! What was found among the inputs but is not read, for messages.

use crate::corpus::location::shown;
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The identity of a file, whatever its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum FileId {
    /// Device and inode.
    Inode(u64, u64),
    /// An object, which has one name.
    Object(PathBuf),
}

impl FileId {
    pub(super) fn of(metadata: &Metadata) -> Self {
        FileId::Inode(metadata.dev(), metadata.ino())
    }
}

/// How many names of each sort are shown.
const N_SHOWN: usize = 3;

/// Files that exist but are not read, by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Counts by extension.
    kinds: BTreeMap<String, u64>,
    of_other_kinds: Names,
    /// Hidden, or accompanying a data set.
    beside: Names,
    /// Further names of files that are read.
    twice: Names,
    /// In a hub's cache without a name; identified by inode.
    unnamed: Vec<(FileId, PathBuf)>,
}

/// How many, and the first few.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Names {
    n: u64,
    first: Vec<PathBuf>,
}

impl Names {
    fn add(&mut self, path: &Path) {
        self.n += 1;
        if self.first.len() < N_SHOWN {
            self.first.push(path.to_path_buf());
        }
    }

    fn shown(&self) -> String {
        let names: Vec<_> = self.first.iter().map(|path| shown(path)).collect();
        let more = if self.n > self.first.len() as u64 {
            ", ..."
        } else {
            ""
        };
        format!("{}{more}", names.join(", "))
    }
}

impl LeftOut {
    pub(super) fn add_kind(&mut self, extension: &str, path: &Path) {
        *self.kinds.entry(extension.to_owned()).or_default() += 1;
        self.of_other_kinds.add(path);
    }

    pub(super) fn add_beside(&mut self, path: &Path) {
        self.beside.add(path);
    }

    pub(super) fn add_duplicate(&mut self, path: &Path) {
        self.twice.add(path);
    }

    pub(super) fn add_unnamed(&mut self, id: FileId, path: &Path) {
        self.unnamed.push((id, path.to_path_buf()));
    }

    /// Drops those that are read after all.
    pub(super) fn forget_unnamed(&mut self, is_read: impl Fn(&FileId) -> bool) {
        self.unnamed.retain(|(id, _)| !is_read(id));
    }

    /// One line per reason: how many, of which kinds, the first names, and what to do.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.of_other_kinds.n > 0 {
            let kinds: Vec<_> = self
                .kinds
                .iter()
                .map(|(kind, n)| format!("{n} {kind}"))
                .collect();
            notes.push(format!(
                "skipped {} of unsupported types ({}): {}; --format text, jsonl or parquet reads files of any name",
                files(self.of_other_kinds.n),
                kinds.join(", "),
                self.of_other_kinds.shown()
            ));
        }
        if self.beside.n > 0 {
            notes.push(format!(
                "skipped {} (hidden, or accompanying a data set): {}; to read one, name it",
                names(self.beside.n),
                self.beside.shown()
            ));
        }
        if self.twice.n > 0 {
            notes.push(format!(
                "skipped {} of files that are already read: {}",
                names(self.twice.n),
                self.twice.shown()
            ));
        }
        if !self.unnamed.is_empty() {
            let mut unnamed = Names::default();
            self.unnamed.iter().for_each(|(_, path)| unnamed.add(path));
            notes.push(format!(
                "skipped {} of a hub's cache that no snapshot uses: {}",
                files(unnamed.n),
                unnamed.shown()
            ));
        }
        notes
    }
}

fn files(n: u64) -> String {
    format!("{n} {}", if n == 1 { "file" } else { "files" })
}

fn names(n: u64) -> String {
    format!("{n} {}", if n == 1 { "name" } else { "names" })
}
