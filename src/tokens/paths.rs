//! Which format and which files a path refers to.

use super::error::TokensError;
use super::foreign;
use super::format::{CORPUS_JSON, PREFIX, TokenFormat};
use super::megatron::with_suffix;
use super::raw::is_llm_c;
use super::token_file::RawFile;
use crate::storage::{self, GlobError};
use std::path::{Path, PathBuf};

/// How many names of a folder's content are shown.
const N_SHOWN: usize = 5;

impl TokenFormat {
    /// The format of `path`, by its name and contents.
    ///
    /// # Errors
    /// I/O; a path that is not a corpus of a recognizable format.
    pub fn detect(path: &Path) -> Result<Self, TokensError> {
        let found = storage::metadata_if_exists(path)?;
        let is_dir = found.is_some_and(|found| found.is_dir);
        let (bin, idx) = pair_of(path, is_dir);
        if is_dir {
            let is_corpus = storage::exists(&bin)? || storage::exists(&idx)?;
            return detect_folder(path, is_corpus);
        }
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension.unwrap_or_default() {
            "parquet" => Ok(TokenFormat::Parquet),
            "npy" => Ok(TokenFormat::NanoGpt),
            "idx" => Ok(TokenFormat::Megatron),
            _ if storage::exists(&idx)? => Ok(TokenFormat::Megatron),
            _ if found.is_none() => detect_absent(path, &bin),
            _ if is_llm_c(path)? => Ok(TokenFormat::LlmC),
            "bin" if is_unpaired_megatron(path)? => Ok(TokenFormat::Megatron),
            "bin" => Ok(TokenFormat::NanoGpt),
            _ => {
                foreign::refuse(&RawFile::open(path)?, true)?;
                Err(not_a_corpus(path))
            }
        }
    }
}

/// For a path that does not exist: a prefix, whose other half will be missed, or a glob.
fn detect_absent(path: &Path, bin: &Path) -> Result<TokenFormat, TokensError> {
    if storage::exists(bin)? {
        return Ok(TokenFormat::Megatron);
    }
    match storage::is_glob(path) {
        true => Ok(TokenFormat::Parquet),
        false => Err(absent(path, "does not exist")),
    }
}

fn detect_folder(path: &Path, is_corpus: bool) -> Result<TokenFormat, TokensError> {
    if is_corpus {
        return Ok(TokenFormat::Megatron);
    }
    let names = names_in(path)?;
    if names.iter().any(|name| name.ends_with(".parquet")) {
        return Ok(TokenFormat::Parquet);
    }
    Err(folder_without(path, &names))
}

/// Whether this is a `.bin` without its `.idx`, though its name or its neighbour implies one: Megatron's tools call
/// theirs `NAME_text_document.bin`.
fn is_unpaired_megatron(bin: &Path) -> Result<bool, TokensError> {
    let stem = bin
        .file_stem()
        .map(|stem| stem.to_string_lossy())
        .unwrap_or_default();
    let is_ours = stem == PREFIX && storage::exists(&bin.with_file_name(CORPUS_JSON))?;
    Ok(is_ours || stem.ends_with("_document") || stem.ends_with("_sentence"))
}

/// The `.bin` and `.idx` that a directory, a prefix or either file refers to.
pub(super) fn megatron_pair(path: &Path) -> Result<(PathBuf, PathBuf), TokensError> {
    Ok(pair_of(path, storage::is_dir(path)?))
}

fn pair_of(path: &Path, is_dir: bool) -> (PathBuf, PathBuf) {
    let mut prefix = if is_dir {
        path.join(PREFIX)
    } else {
        path.to_path_buf()
    };
    if prefix
        .extension()
        .is_some_and(|extension| extension == "bin" || extension == "idx")
    {
        prefix.set_extension("");
    }
    (with_suffix(&prefix, ".bin"), with_suffix(&prefix, ".idx"))
}

/// The Parquet files that a file, a folder or a glob refers to, in order of name.
pub(super) fn parquet_files(path: &Path) -> Result<Vec<PathBuf>, TokensError> {
    match storage::metadata_if_exists(path)? {
        Some(found) if found.is_dir => return files_of_folder(path),
        None if storage::is_glob(path) => {}
        _ => return Ok(vec![path.to_path_buf()]),
    }
    let files = match storage::glob(path) {
        Err(GlobError::Storage(error)) => return Err(error.into()),
        // An invalid pattern names no file.
        found => found.unwrap_or_default(),
    };
    match files.iter().find(|file| !is_parquet(file)) {
        Some(other) => Err(TokensError::MixedFolder {
            path: path.to_path_buf(),
            other: other.display().to_string(),
        }),
        None if files.is_empty() => Err(absent(path, "matches no file")),
        None => Ok(files),
    }
}

/// A folder that is one corpus holds only Parquet files and notes on them.
fn files_of_folder(path: &Path) -> Result<Vec<PathBuf>, TokensError> {
    let names = names_in(path)?;
    let (files, others): (Vec<_>, Vec<_>) =
        names.iter().partition(|name| is_parquet(Path::new(name)));
    if files.is_empty() {
        return Err(folder_without(path, &names));
    }
    if let Some(other) = others.iter().find(|name| !is_note(name)) {
        return Err(TokensError::MixedFolder {
            path: path.to_path_buf(),
            other: (*other).clone(),
        });
    }
    Ok(files.iter().map(|name| path.join(name)).collect())
}

/// Names in a folder, sorted, with a slash after those of folders; hidden ones are left out.
fn names_in(path: &Path) -> Result<Vec<String>, TokensError> {
    let mut names = Vec::new();
    for entry in storage::list(path)? {
        let slash = if entry.is_dir { "/" } else { "" };
        let Ok(name) = entry.name.into_string() else {
            return Err(TokensError::MixedFolder {
                path: path.to_path_buf(),
                other: "a name that is not UTF-8".to_owned(),
            });
        };
        if !name.starts_with('.') {
            names.push(name + slash);
        }
    }
    names.sort();
    Ok(names)
}

/// Files that tools leave beside data: `_SUCCESS`, `_metadata`, a card, a licence.
fn is_note(name: &str) -> bool {
    let name = name.to_lowercase();
    name.starts_with('_')
        || name.ends_with(".md")
        || name.starts_with("license")
        || matches!(
            name.as_str(),
            "dataset_info.json" | "dataset_infos.json" | "tokenizer.json"
        )
}

fn is_parquet(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "parquet")
}

fn not_a_corpus(path: &Path) -> TokensError {
    TokensError::NotACorpus {
        path: path.to_path_buf(),
    }
}

fn absent(path: &Path, fault: &'static str) -> TokensError {
    TokensError::Absent {
        path: path.to_path_buf(),
        fault,
    }
}

/// Says what is there instead, and what could be used.
fn folder_without(path: &Path, names: &[String]) -> TokensError {
    let shown: Vec<&str> = names.iter().take(N_SHOWN).map(String::as_str).collect();
    let more = match names.len().saturating_sub(N_SHOWN) {
        0 => String::new(),
        n => format!(" and {n} more"),
    };
    let found = match names.is_empty() {
        true => "is empty".to_owned(),
        false => format!("holds {}{more}", shown.join(", ")),
    };
    let is_token_file = |name: &&String| {
        [".bin", ".idx", ".npy"]
            .iter()
            .any(|ending| name.ends_with(ending))
    };
    let fits = names.iter().find(is_token_file);
    TokensError::FolderWithoutTokens {
        path: path.to_path_buf(),
        found,
        remedy: match fits {
            Some(name) => format!("give one of its token files, such as {}", path.join(name).display()),
            None => "give a directory made by `saltworks tokenize`, a folder of .parquet files with a list column `input_ids`, or one token file".to_owned(),
        },
    }
}
