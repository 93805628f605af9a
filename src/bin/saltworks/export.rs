//! `saltworks export`.

use super::progress::show_graph;
use crate::common::arguments::{Json, OUTPUT, Overwrite};
use crate::common::exit::Result;
use crate::common::model_files::{check_file_name, create_parent_dir, write_config};
use crate::common::print::{self, out};
use indicatif::BinaryBytes;
use saltworks::checkpoint_graph::{GraphObserver, config_json, export_checkpoint};
use saltworks::decoder_file::{WeightsPlace, data_path};
use saltworks::error::{Classified, Kind};
use saltworks::onnx::decoder::{Dialect, GraphOptions, WeightFormat};
use saltworks::pretrained::{Checkpoint, local_checkpoint};
use saltworks::storage::{self, create_if_absent, replace, resolved_path};
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  saltworks export SmolLM2-135M --output model.onnx
  saltworks export SmolLM2-135M --output model.onnx --dialect fused --weights int8 --external-data";

/// Write a Hugging Face checkpoint as an ONNX model, for any program that runs ONNX.
///
/// `label --teacher DIR` does this by itself. The model takes `input_ids` int64 [batch, sequence], both dynamic,
/// and gives `logits` f32. The maximum sequence length is in the config.json next to it, which is written if
/// there is none; the checkpoint's tokenizer.json is copied there too.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The checkpoint: a directory with config.json and *.safetensors.
    #[arg(value_name = "DIR|URL")]
    checkpoint: PathBuf,

    /// File for the ONNX model.
    #[arg(long, help_heading = OUTPUT, short, value_name = "FILE")]
    output: PathBuf,

    /// Operators: standard (any runtime) or fused (ONNX Runtime's own: faster there, on the CPU).
    #[arg(
        long,
        help_heading = "Graph",
        value_name = "DIALECT",
        default_value = "standard",
        hide_possible_values = true
    )]
    dialect: Dialect,

    /// Type in which matrices are stored: f32, f16 or bf16 (arithmetic is in f32 in any case), or int8 (in
    /// blocks of 32, with 8-bit arithmetic; needs --dialect fused).
    #[arg(
        long,
        help_heading = "Graph",
        value_name = "TYPE",
        default_value = "f32",
        hide_possible_values = true
    )]
    weights: WeightFormat,

    /// Write the weights to FILE.data next to it; needed above 2 GiB.
    #[arg(long, help_heading = OUTPUT)]
    external_data: bool,

    #[command(flatten)]
    overwrite: Overwrite,

    #[command(flatten)]
    json: Json,
}

/// An existing file that is not replaced without --overwrite.
#[derive(Debug, thiserror::Error)]
enum ExistingOutput {
    /// The output.
    #[error("{} already exists: choose another output, or replace it with --overwrite", path.display())]
    Output { path: PathBuf },
    /// A tokenizer next to it that is not the checkpoint's.
    #[error("{} already exists and is not the checkpoint's tokenizer: choose an output in another directory, or replace it with --overwrite", path.display())]
    Tokenizer { path: PathBuf },
}

impl Classified for ExistingOutput {
    fn kind(&self) -> Kind {
        Kind::Usage
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    args.check_output()?;
    let interrupt = crate::common::signals::interrupt()?;
    let checkpoint = Checkpoint::open(&local_checkpoint(&args.checkpoint)?)?;
    print::notes(&checkpoint.notes);
    let options = GraphOptions {
        dialect: args.dialect,
        weights: args.weights,
    };
    let place = match args.external_data {
        true => WeightsPlace::External,
        false => WeightsPlace::Inline,
    };
    let dir = create_parent_dir(&args.output)?;
    // The graph comes last: without it there is no model, and the same command writes it.
    write_neighbours(&checkpoint, dir, args.overwrite.overwrite)?;
    let observer = GraphObserver {
        interrupt: &interrupt,
        on_work: &show_graph,
    };
    let files = export_checkpoint(&checkpoint, &args.output, options, place, observer)?;
    let n_bytes: u64 = files.iter().map(|(_, hash)| hash.bytes).sum();
    if args.json.is_asked {
        let written = serde_json::json!({
            "output": args.output.display().to_string(),
            "family": checkpoint.family,
            "dialect": args.dialect.word(),
            "weights": args.weights.word(),
            "n_bytes": n_bytes,
        });
        return Ok(print::json(&written, true)?);
    }
    out!(
        "wrote {} ({}, {} operators, {} weights, {})",
        args.output.display(),
        checkpoint.family,
        args.dialect.word(),
        args.weights.word(),
        BinaryBytes(n_bytes)
    );
    Ok(())
}

impl Args {
    /// Existing files are not replaced without --overwrite; this is checked before the checkpoint
    /// is read.
    fn check_output(&self) -> Result<()> {
        check_file_name(&self.output)?;
        let data = self.external_data.then(|| data_path(&self.output));
        let mut outputs = std::iter::once(self.output.clone()).chain(data);
        match outputs.find(|path| path.exists()) {
            Some(path) if !self.overwrite.overwrite => Err(ExistingOutput::Output { path }.into()),
            _ => Ok(()),
        }
    }
}

/// What `label` reads next to a model; with another model's tokenizer, tokens of that one would be taken
/// for this one's.
fn write_neighbours(checkpoint: &Checkpoint, dir: &Path, overwrite: bool) -> Result<()> {
    let is_own = resolved_path(dir) == resolved_path(&checkpoint.dir);
    write_config(dir, &config_json(&checkpoint.spec), is_own)?;
    if let Some(tokenizer) = &checkpoint.tokenizer {
        let bytes = storage::read(tokenizer)?;
        write_tokenizer(&dir.join("tokenizer.json"), &bytes, overwrite)?;
    }
    Ok(())
}

fn write_tokenizer(path: &Path, bytes: &[u8], overwrite: bool) -> Result<()> {
    create_if_absent(path, bytes)?;
    let existing = storage::read(path)?;
    match existing == bytes {
        true => Ok(()),
        false if overwrite => Ok(replace(path, bytes)?),
        false => Err(ExistingOutput::Tokenizer {
            path: path.to_owned(),
        }
        .into()),
    }
}
