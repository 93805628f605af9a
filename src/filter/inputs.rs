//! Finds the present file of each input of the corpus, and names its output.

use super::error::FilterError;
use crate::corpus::{Compression, InputFile, name_without_compression};
use crate::storage::resolved_path;
use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

/// One input of the corpus.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Input {
    /// Its entry in the corpus.
    pub(super) file: InputFile,
    /// Its present location.
    pub(super) path: PathBuf,
    /// The path of its output below the output directory.
    pub(super) output: PathBuf,
}

/// Finds the inputs of a corpus among `paths`, in any order, and returns them in the corpus's order. Folders may have
/// been renamed: a file is then recognized by its own name, and among several by the folders above it.
///
/// # Errors
/// An input that is missing, one too many, or two with the same output.
pub(super) fn match_inputs(
    files: &[InputFile],
    paths: &[PathBuf],
    compression: Option<Compression>,
) -> Result<Vec<Input>, FilterError> {
    let mut finder = Finder::new(paths);
    let exact: Vec<Option<PathBuf>> = files.iter().map(|file| finder.take_same(file)).collect();
    let mut found = Vec::with_capacity(files.len());
    for (file, exact) in files.iter().zip(exact) {
        let path = exact.or_else(|| finder.take_best_match(file));
        let path = path.ok_or_else(|| FilterError::MissingInput {
            origin: file.path.clone(),
            n_expected: files.len(),
            n_got: paths.len(),
        })?;
        found.push(path);
    }
    if let Some(path) = finder.left() {
        return Err(FilterError::ExtraInput {
            path,
            n_expected: files.len(),
        });
    }
    let outputs = output_names(&found, compression)?;
    let inputs = files.iter().zip(found).zip(outputs);
    Ok(inputs
        .map(|((file, path), output)| Input {
            file: file.clone(),
            path,
            output,
        })
        .collect())
}

/// Paths not matched yet, by file name.
struct Finder<'a> {
    by_name: HashMap<String, Vec<&'a Path>>,
}

impl<'a> Finder<'a> {
    fn new(paths: &'a [PathBuf]) -> Self {
        let mut by_name: HashMap<String, Vec<&Path>> = HashMap::new();
        for path in paths {
            let name = name_of(&InputFile::name_of(path));
            by_name.entry(name).or_default().push(path);
        }
        Self { by_name }
    }

    /// The path exactly as in the corpus.
    fn take_same(&mut self, file: &InputFile) -> Option<PathBuf> {
        self.take_by(file, |path| InputFile::name_of(path) == file.path)
    }

    /// The path with the most components in common at the end.
    fn take_best_match(&mut self, file: &InputFile) -> Option<PathBuf> {
        let alike = |path: &Path| n_same_at_end(path, Path::new(&file.path));
        let candidates = self.by_name.get(&name_of(&file.path))?;
        let most = candidates.iter().map(|path| alike(path)).max()?;
        self.take_by(file, |path| alike(path) == most)
    }

    fn take_by(&mut self, file: &InputFile, is_wanted: impl Fn(&Path) -> bool) -> Option<PathBuf> {
        let candidates = self.by_name.get_mut(&name_of(&file.path))?;
        let place = candidates.iter().position(|path| is_wanted(path))?;
        Some(candidates.remove(place).to_path_buf())
    }

    /// A path that was not matched.
    fn left(&self) -> Option<PathBuf> {
        let left = self.by_name.values().flatten();
        left.min().map(|path| path.to_path_buf())
    }
}

fn name_of(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn n_same_at_end(a: &Path, b: &Path) -> usize {
    let pairs = a.components().rev().zip(b.components().rev());
    pairs.take_while(|(a, b)| a == b).count()
}

/// The paths below the common folder of all inputs, with the extension of another compression if one is given.
fn output_names(
    paths: &[PathBuf],
    compression: Option<Compression>,
) -> Result<Vec<PathBuf>, FilterError> {
    // Only the folder is resolved: a file may be a link to one with another name.
    let folders = paths.iter().map(|path| {
        let folder = path.parent().unwrap_or(Path::new("."));
        resolved_path(folder)
    });
    let folders: Vec<PathBuf> = folders.collect();
    let common = common_folder(&folders);
    let mut taken: HashMap<PathBuf, &PathBuf> = HashMap::new();
    let mut names = Vec::with_capacity(paths.len());
    for (path, folder) in paths.iter().zip(&folders) {
        let below = folder.strip_prefix(&common).unwrap_or(Path::new(""));
        let name = below.join(renamed(path, compression));
        if let Some(first) = taken.insert(name.clone(), path) {
            return Err(FilterError::SameOutput {
                first: first.clone(),
                second: path.clone(),
                output: name,
            });
        }
        names.push(name);
    }
    Ok(names)
}

fn common_folder(folders: &[PathBuf]) -> PathBuf {
    let mut folders = folders.iter();
    let mut common: Vec<Component> = match folders.next() {
        Some(first) => first.components().collect(),
        None => Vec::new(),
    };
    for folder in folders {
        let same = common.iter().zip(folder.components());
        let n_same = same.take_while(|(a, b)| **a == *b).count();
        common.truncate(n_same);
    }
    common.into_iter().collect()
}

/// The file's name with its extension replaced by that of `compression`. Parquet is compressed inside.
fn renamed(path: &Path, compression: Option<Compression>) -> PathBuf {
    let name = path.file_name().unwrap_or_default();
    let (Some(compression), Some(text)) = (compression, name.to_str()) else {
        return PathBuf::from(name);
    };
    let stem = name_without_compression(text);
    let is_parquet = stem == text && [".parquet", ".pq"].iter().any(|end| text.ends_with(end));
    match is_parquet {
        true => PathBuf::from(name),
        false => PathBuf::from(format!("{stem}{}", compression.extension())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> InputFile {
        InputFile {
            path: path.to_owned(),
            bytes: 1,
            blake3: "0".repeat(64),
        }
    }

    fn matched(files: &[&str], paths: &[&str]) -> Result<Vec<(String, String)>, String> {
        let files: Vec<InputFile> = files.iter().map(|path| file(path)).collect();
        let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
        let inputs = match_inputs(&files, &paths, None).map_err(|error| error.to_string())?;
        let shown = |path: &Path| path.display().to_string();
        Ok(inputs
            .iter()
            .map(|input| (shown(&input.path), shown(&input.output)))
            .collect())
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
        expected.iter().map(owned).collect()
    }

    #[test]
    fn inputs_are_found_in_corpus_order_whatever_the_argument_order() {
        let found = matched(&["c/b.jsonl", "c/a.jsonl"], &["c/a.jsonl", "c/b.jsonl"]);
        let expected = [("c/b.jsonl", "b.jsonl"), ("c/a.jsonl", "a.jsonl")];
        assert_eq!(found.unwrap(), pairs(&expected));
    }

    #[test]
    fn folders_that_moved_are_told_apart_by_what_is_left_of_their_names() {
        let found = matched(
            &["old/x/part.jsonl", "old/y/part.jsonl", "z.txt"],
            &["/new/y/part.jsonl", "/new/x/part.jsonl", "/new/z.txt"],
        );
        let expected = [
            ("/new/x/part.jsonl", "x/part.jsonl"),
            ("/new/y/part.jsonl", "y/part.jsonl"),
            ("/new/z.txt", "z.txt"),
        ];
        assert_eq!(found.unwrap(), pairs(&expected));
    }

    #[test]
    fn missing_and_extra_inputs_are_named() {
        let missing = matched(&["a.jsonl", "b.jsonl"], &["a.jsonl"]).unwrap_err();
        assert!(missing.contains("b.jsonl is not among the 1"), "{missing}");
        let extra = matched(&["a.jsonl"], &["a.jsonl", "c.jsonl"]).unwrap_err();
        assert!(extra.contains("c.jsonl is not one of them"), "{extra}");
    }

    #[test]
    fn another_compression_is_in_the_name() {
        let name = |path: &str, compression| {
            let name = renamed(Path::new(path), Some(compression));
            name.display().to_string()
        };
        assert_eq!(name("a/b.jsonl.gz", Compression::Zstd), "b.jsonl.zst");
        assert_eq!(name("b.jsonl", Compression::Xz), "b.jsonl.xz");
        assert_eq!(name("b.txt.zst", Compression::None), "b.txt");
        assert_eq!(name("b.parquet", Compression::Gzip), "b.parquet");
        let paths = ["b.jsonl", "b.jsonl.gz"].map(PathBuf::from);
        let error = output_names(&paths, Some(Compression::Zstd)).unwrap_err();
        assert!(error.to_string().contains("b.jsonl.zst"), "{error}");
    }
}
