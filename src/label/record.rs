//! `label.toml` next to the labels: the options with all defaults filled in, which can be passed as `--config`
//! again. It is not part of the plan; only `finalize` reads it by itself, to find the tokens.

use super::error::LabelError;
use super::options::{LabelConfig, LabelOptions, MACHINE};
use crate::config::{self, ConfigFileError};
use crate::storage;
use std::path::PathBuf;
use toml::Table;

/// The name of the file, in the label directory.
pub(super) const RECORD_NAME: &str = "label.toml";
/// Its first lines.
const HEADER: &str = "# What these labels were made from, and how, with every default filled in and every path absolute except this directory.\n\
     # It can be passed as --config again. Options that depend on the machine (threads, device and the like) are left out.\n";

/// Writes the record for the labels of `config`; false if TOML cannot express a path or a number.
///
/// # Errors
/// Errors of the filesystem.
pub(super) fn write_record(config: &LabelConfig) -> Result<bool, LabelError> {
    let text = match record(config).and_then(|options| config::to_toml(HEADER, &options)) {
        Ok(text) => text,
        Err(ConfigFileError::Serialize { .. }) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    let path = config.output.join(RECORD_NAME);
    // An equal file keeps its time, and may be in a read-only place.
    if storage::read(&path).ok().as_deref() != Some(text.as_bytes()) {
        storage::replace(&path, text.as_bytes())?;
    }
    Ok(true)
}

/// Equal for equal rows, wherever and by however many tasks they are made.
fn record(config: &LabelConfig) -> Result<Table, ConfigFileError> {
    let sampling = config.sampling;
    let resolved = LabelOptions {
        teacher: Some(recorded_teacher(config)),
        output: None,
        groups: Some(config.groups.clone()),
        samples: sampling.map(|sampling| sampling.n_draws.into()),
        samples_tau: sampling.map(|sampling| sampling.tau),
        samples_seed: sampling.map(|sampling| sampling.seed),
        ..config.options.clone()
    };
    let mut record = config::to_table(&config::with_absolute_paths(&resolved)?)?;
    for key in config::keys_under::<LabelOptions>(MACHINE) {
        record.remove(&key);
    }
    record.insert("output".to_owned(), ".".into());
    Ok(record)
}

/// The model's file or directory; the URL if a copy of it is read.
fn recorded_teacher(config: &LabelConfig) -> PathBuf {
    let named = config.options.teacher.as_ref();
    let url = named.filter(|named| storage::is_url(named));
    url.unwrap_or(&config.teacher).clone()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Layers;
    use std::path::Path;

    fn config(dir: &Path, change: impl Fn(&mut LabelOptions)) -> LabelConfig {
        let mut options = LabelOptions {
            teacher: Some("m.onnx".into()),
            tokens: Some("tokens".into()),
            output: Some(dir.to_path_buf()),
            seq_len: Some(256),
            samples: Some(20),
            temperatures: vec![2.0],
            ..LabelOptions::default()
        };
        change(&mut options);
        options.resolve().unwrap()
    }

    fn written(config: &LabelConfig) -> String {
        assert!(write_record(config).unwrap());
        std::fs::read_to_string(config.output.join(RECORD_NAME)).unwrap()
    }

    #[test]
    fn it_reads_back_as_what_was_done_and_has_absolute_paths() {
        let dir = tempfile::tempdir().unwrap();
        let asked = config(dir.path(), |_| {});
        let text = written(&asked);
        let path = dir.path().join(RECORD_NAME);
        let again = Layers::read(Some(&path), &[]).unwrap();
        let again: LabelOptions = again.into_options().unwrap();
        let here = std::env::current_dir().unwrap();
        assert_eq!(again.teacher, Some(here.join("m.onnx")));
        assert_eq!(again.output.as_deref(), Some(dir.path()));
        let again = again.resolve().unwrap();
        assert_eq!(again.plan_signals(), asked.plan_signals());
        assert_eq!(again.range, asked.range);
        assert_eq!(written(&again), text);
    }

    #[test]
    fn options_that_do_not_affect_labels_do_not_change_the_record() {
        let dir = tempfile::tempdir().unwrap();
        let text = written(&config(dir.path(), |_| {}));
        let other = config(dir.path(), |options| {
            options.threads = Some(1);
            options.task = Some("1/4".to_owned());
            options.device = "cpu".to_owned();
            options.allow_mixed_runtime = true;
        });
        assert_eq!(written(&other), text);
        let other = config(dir.path(), |options| options.top_k = 3);
        assert_ne!(written(&other), text);
    }

    #[cfg(unix)]
    #[test]
    fn no_record_is_written_for_paths_that_toml_cannot_hold() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let odd = std::ffi::OsStr::from_bytes(b"t\xff");
        let config = config(dir.path(), |options| options.tokens = Some(odd.into()));
        assert!(!write_record(&config).unwrap());
        assert!(!dir.path().join(RECORD_NAME).exists());
    }
}
