//! `saltworks init`.

use crate::common::exit::Result;
use crate::common::print::out;
use saltworks::config::{Typed, starter};
use saltworks::label::{LabelError, LabelOptions};
use saltworks::storage::{Publish, create_if_absent};
use saltworks::view::printable;
use std::path::PathBuf;
use toml::{Table, Value};

const EXAMPLES: &str = "\
Examples:
  saltworks init label.toml --teacher model.onnx --tokens train --seq-len 256 --output labels
  saltworks label --config label.toml --dry-run";

/// Samples per position that take as many bytes as the 64 best ids, and did better
/// (docs/experiments.md).
const FAVOURED_SAMPLES: i64 = 180;

/// Write a label.toml to start from: every option of `label` with its description and default.
///
/// Options given here are filled in. The file stores samples instead of the top k, since they did better
/// at the same size in this project's experiments; change it with --groups.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The file to write; an existing file is never replaced.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    options: Typed<LabelOptions>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let path = printable(&args.file.to_string_lossy());
    let text = format!(
        "# Options of `saltworks label`. Any key can also be given as a flag, or as --set KEY=VALUE.\n# Relative paths are relative to this file.\n#   saltworks label --config {path} --dry-run   estimates time and size\n#   saltworks label --config {path}             labels; the same command resumes\n\n{}",
        starter(&args.options, &favoured(&args.options), &args.file)?
    );
    if create_if_absent(&args.file, text.as_bytes())? == Publish::AlreadyThere {
        let expected = "a file that does not exist yet";
        return Err(LabelError::Option {
            flag: "FILE",
            expected: expected.to_owned(),
            got: path,
        }
        .into());
    }
    out!("edit {path}, then: saltworks label --config {path} --dry-run");
    Ok(())
}

/// What the experiments favour over the defaults; empty if options say what to store.
fn favoured(options: &Typed<LabelOptions>) -> Table {
    if ["groups", "samples", "top_k"]
        .iter()
        .any(|key| options.is_typed(key))
    {
        return Table::new();
    }
    let groups = ["stats", "samples"].map(|group| Value::String(group.to_owned()));
    Table::from_iter([
        ("groups".to_owned(), Value::Array(groups.to_vec())),
        ("samples".to_owned(), Value::Integer(FAVOURED_SAMPLES)),
    ])
}
