//! `_filter/` in an output directory: the plan, and which files are finished.

use super::counts::Counts;
use super::error::FilterError;
use super::inputs::Input;
use super::options::FilterOptions;
use crate::corpus::InputFile;
use crate::storage::{self, FileHash, Publish, Source, StorageError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The directory; because of its name it is not read as input.
const RECORDS_DIR: &str = "_filter";
const PLAN_NAME: &str = "plan.json";
/// The `format_version` that is written.
const FORMAT_VERSION: u32 = 1;

/// What is written, and from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Plan {
    format_version: u32,
    corpus_fingerprint: String,
    selection: FileHash,
    options: FilterOptions,
    inputs: Vec<InputFile>,
    outputs: Vec<String>,
}

impl Plan {
    pub(super) fn new(
        corpus_fingerprint: String,
        selection: FileHash,
        options: &FilterOptions,
        inputs: &[Input],
    ) -> Self {
        let outputs = inputs.iter().map(|input| InputFile::name_of(&input.output));
        Self {
            format_version: FORMAT_VERSION,
            corpus_fingerprint,
            selection,
            options: options.clone(),
            inputs: inputs.iter().map(|input| input.file.clone()).collect(),
            outputs: outputs.collect(),
        }
    }
}

/// An input whose output is finished.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// The file written; `None` if a text is not kept.
    pub(super) written: Option<FileHash>,
    pub(super) counts: Counts,
}

/// The progress records in one output directory.
pub(super) struct Records {
    dir: PathBuf,
    /// Where the outputs are.
    output: PathBuf,
}

impl Records {
    /// Begins or resumes work according to `plan` in the directory `output`.
    ///
    /// # Errors
    /// Work with another plan, unrelated files with the names of outputs.
    pub(super) fn begin(output: &Path, plan: &Plan) -> Result<Self, FilterError> {
        let records = Records {
            dir: output.join(RECORDS_DIR),
            output: output.to_path_buf(),
        };
        let path = records.dir.join(PLAN_NAME);
        if let Some(existing) = read::<Plan>(&path)? {
            check_same(output, &existing, plan)?;
            return Ok(records);
        }
        if storage::is_file(&output.join("plan.json"))? {
            let dir = output.to_path_buf();
            return Err(FilterError::OutputOfLabels { dir });
        }
        for name in &plan.outputs {
            let path = output.join(name);
            if storage::exists(&path)? {
                return Err(FilterError::OutputExists { path });
            }
        }
        make_dir(&records.dir)?;
        match storage::create_if_absent(&path, &bytes_of(plan))? {
            Publish::Created => Ok(records),
            Publish::AlreadyThere => Err(FilterError::InUse {
                dir: output.to_path_buf(),
            }),
        }
    }

    /// The result for input number `i`, if it is finished and its output still exists.
    pub(super) fn done(&self, i: usize, input: &Input) -> Result<Option<Done>, FilterError> {
        let Some(done) = read::<Done>(&self.path(i))? else {
            return Ok(None);
        };
        let Some(written) = &done.written else {
            return Ok(Some(done));
        };
        let path = self.output.join(&input.output);
        if !storage::exists(&path)? {
            return Ok(None);
        }
        let got = Source::open(&path)?.n_bytes();
        match got == written.bytes {
            true => Ok(Some(done)),
            false => Err(FilterError::ChangedOutput {
                path,
                expected: written.bytes,
                got,
            }),
        }
    }

    /// Records that input number `i` is finished.
    pub(super) fn note(&self, i: usize, done: &Done) -> Result<(), FilterError> {
        Ok(storage::replace(&self.path(i), &bytes_of(done))?)
    }

    fn path(&self, i: usize) -> PathBuf {
        self.dir.join(format!("{i:05}.json"))
    }
}

/// Creates a directory and its missing parents.
pub(super) fn make_dir(dir: &Path) -> Result<(), StorageError> {
    std::fs::create_dir_all(dir).map_err(|source| StorageError::io("create", dir, source))
}

fn bytes_of(value: &impl Serialize) -> Vec<u8> {
    storage::checked_json(value).expect("plain data has a JSON form")
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FilterError> {
    let source = match Source::open(path) {
        Err(error) if error.is_not_found() => return Ok(None),
        source => source?,
    };
    let bytes = source.read_at(0, source.n_bytes() as usize)?;
    let value = storage::from_checked_json(&bytes);
    value.map(Some).map_err(|error| FilterError::DamagedRecord {
        path: path.to_path_buf(),
        reason: error.to_string(),
    })
}

/// Refuses different plans, naming the first field in which they differ.
fn check_same(dir: &Path, existing: &Plan, here: &Plan) -> Result<(), FilterError> {
    if existing == here {
        return Ok(());
    }
    let fields = |plan: &Plan| match serde_json::to_value(plan) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    let (existing, here) = (fields(existing), fields(here));
    let differs = |(key, value): &(&String, &Value)| existing.get(*key) != Some(*value);
    let (field, expected) = here.iter().find(differs).unzip();
    let field = field.cloned().unwrap_or_default();
    let shown = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
    Err(FilterError::OtherFilter {
        dir: dir.to_path_buf(),
        got: shown(existing.get(&field)),
        expected: shown(expected),
        field,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash() -> FileHash {
        FileHash {
            bytes: 12,
            blake3: "ab".repeat(32),
        }
    }

    fn plan() -> Plan {
        let input = Input {
            file: InputFile {
                path: "corpus/a.jsonl".to_owned(),
                bytes: 34,
                blake3: "cd".repeat(32),
            },
            path: PathBuf::from("elsewhere/a.jsonl"),
            output: PathBuf::from("a.jsonl"),
        };
        let options = FilterOptions {
            scores_key: Some("salt".to_owned()),
            ..FilterOptions::default()
        };
        Plan::new("blake3:ef".to_owned(), hash(), &options, &[input])
    }

    fn done() -> Done {
        let counts = Counts {
            n_documents: 3,
            n_kept: 2,
            ..Counts::default()
        };
        Done {
            written: Some(hash()),
            counts,
        }
    }

    /// Records of earlier versions must remain readable.
    #[test]
    fn the_records_are_golden() {
        let golden = include_str!("plan/plan.json");
        assert_eq!(String::from_utf8(bytes_of(&plan())).unwrap(), golden);
        let golden = include_str!("plan/done.json");
        assert_eq!(String::from_utf8(bytes_of(&done())).unwrap(), golden);
    }

    #[test]
    fn any_flipped_bit_of_a_record_is_detected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("done.json");
        let bytes = bytes_of(&done());
        for i in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[i] ^= 1 << (i % 8);
            std::fs::write(&path, flipped).unwrap();
            match read::<Done>(&path) {
                Ok(read) => assert_eq!(read, Some(done()), "byte {i}"),
                Err(error) => {
                    let is_named = matches!(error, FilterError::DamagedRecord { .. });
                    assert!(is_named, "byte {i}: {error}");
                }
            }
        }
    }
}
