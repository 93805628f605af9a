//! `saltworks-train export`.

use super::opened::{ModelArgs, OpenedModel};
use crate::common::arguments::{Json, OUTPUT, Overwrite};
use crate::common::exit::Result;
use crate::common::model_files::{check_file_name, create_parent_dir, write_config};
use crate::common::print::{out, say};
use saltworks::interrupt::Interrupt;
use saltworks::storage;
use saltworks::train::export::{
    ExportError, HF_FILES, HfContents, OnnxWeights, config_json, has_onnx_data_of, is_half,
    onnx_data_path, read_hf, write_hf_until, write_onnx,
};
use saltworks::train::model::Params;
use std::path::{Path, PathBuf};

const EXAMPLES: &str = "\
Examples:
  saltworks-train export --model runs/llm --output hf
  saltworks-train export --model runs/llm --onnx model.onnx --external-data";

/// Write a model as a Hugging Face directory, as ONNX, or both.
///
/// The directory contains config.json, model.safetensors (f32) and tokenizer.json, and loads in
/// transformers as LlamaForCausalLM. The ONNX model takes `input_ids` int64 [batch, sequence], both
/// dynamic, and outputs `logits` f32; it can be a teacher for `saltworks label`.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["output", "onnx"])))]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Directory for the Hugging Face model.
    #[arg(long, help_heading = OUTPUT, short, value_name = "DIR")]
    output: Option<PathBuf>,

    /// File for the ONNX model. `saltworks label` reads the maximum sequence length from the
    /// config.json next to it, which is written if there is none.
    #[arg(long, help_heading = OUTPUT, value_name = "FILE")]
    onnx: Option<PathBuf>,

    /// Write the ONNX model's weights to FILE.data next to it; needed above 2 GiB.
    #[arg(long, help_heading = OUTPUT, requires = "onnx")]
    external_data: bool,

    #[command(flatten)]
    overwrite: Overwrite,

    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    args.check_outputs()?;
    let interrupt = crate::common::signals::interrupt()?;
    let (opened, params) = args.model.open()?;
    if interrupt.is_requested() {
        let path = args.output.or(args.onnx).unwrap_or_default();
        return Err(ExportError::Interrupted { path }.into());
    }
    args.check_onnx_data(&params)?;
    if let Some(dir) = &args.output {
        if args.is_half_done() {
            check_is_this_model(dir, &opened, &params)?;
            say!("note: {} is this model already", dir.display());
        } else {
            write_directory(dir, &opened, &params, &interrupt)?;
            args.wrote(dir);
        }
    }
    if let Some(path) = &args.onnx {
        let weights = match args.external_data {
            true => OnnxWeights::External,
            false => OnnxWeights::Inline,
        };
        // The graph comes last: without it there is no model, and the same command writes it.
        let text = config_json(&params.spec, &opened.special);
        write_config(create_parent_dir(path)?, &text, false)?;
        write_onnx(path, &params, weights, &interrupt)?;
        args.wrote(path);
    }
    let named = |path: &PathBuf| path.display().to_string();
    args.json.print(&serde_json::json!({
        "output": args.output.as_ref().map(named),
        "onnx": args.onnx.as_ref().map(named),
    }))?;
    Ok(())
}

impl Args {
    fn wrote(&self, path: &Path) {
        if !self.json.is_asked {
            out!("wrote {}", path.display());
        }
    }

    /// Nothing that is there is replaced unasked, and that is known before the model is read. What a
    /// killed export left, which lacks what gets its name last, is nothing.
    fn check_outputs(&self) -> Result<(), ExportError> {
        self.onnx.as_deref().map_or(Ok(()), check_file_name)?;
        if let Some(path) = self.output.as_deref().filter(|path| path.is_file()) {
            let path = path.to_path_buf();
            return Err(ExportError::NotADirectory { path });
        }
        let existing = self.existing_file().filter(|_| !self.is_half_done());
        match existing.or_else(|| self.existing_onnx()) {
            Some(path) if !self.overwrite.overwrite => Err(ExportError::AlreadyThere { path }),
            _ => Ok(()),
        }
    }

    /// A file of the directory that would be replaced.
    fn existing_file(&self) -> Option<PathBuf> {
        let dir = self.output.as_deref().filter(|dir| !is_half(dir))?;
        let files = HF_FILES.map(|name| dir.join(name));
        files.into_iter().find(|path| path.exists())
    }

    /// Weights beside no graph give way where they are those of this model, as a kill leaves them.
    fn check_onnx_data(&self, params: &Params) -> Result<(), ExportError> {
        let Some(onnx) = &self.onnx else {
            return Ok(());
        };
        let path = onnx_data_path(onnx);
        if self.overwrite.overwrite || !self.external_data || !path.exists() {
            return Ok(());
        }
        match has_onnx_data_of(onnx, params)? {
            true => Ok(()),
            false => Err(ExportError::AlreadyThere { path }),
        }
    }

    /// The ONNX model that would be replaced.
    fn existing_onnx(&self) -> Option<PathBuf> {
        self.onnx.clone().filter(|path| path.exists())
    }

    /// Whether the first of two outputs is there and the second is not, as a kill between them leaves
    /// it.
    fn is_half_done(&self) -> bool {
        let has_both = self.output.is_some() && self.onnx.is_some();
        let is_whole = |dir: &PathBuf| dir.join("config.json").is_file();
        let is_first_there = has_both && self.output.as_ref().is_some_and(is_whole);
        is_first_there && self.existing_onnx().is_none() && !self.overwrite.overwrite
    }
}

/// Refuses a directory that holds another model.
fn check_is_this_model(dir: &Path, opened: &OpenedModel, params: &Params) -> Result<()> {
    let existing = read_hf(dir)?;
    if existing.params == *params && existing.special == opened.special {
        return Ok(());
    }
    let path = dir.to_path_buf();
    Err(ExportError::AlreadyThere { path }.into())
}

fn write_directory(
    dir: &Path,
    opened: &OpenedModel,
    params: &Params,
    interrupt: &Interrupt,
) -> Result<()> {
    let tokenizer = match &opened.tokenizer {
        Some((_, path)) => Some(storage::read(path)?),
        None => {
            say!(
                "note: there is no tokenizer.json, so the model is written without one; pass one with --tokenizer"
            );
            None
        }
    };
    let contents = HfContents {
        params,
        special: &opened.special,
        tokenizer_json: tokenizer.as_deref(),
    };
    Ok(write_hf_until(dir, &contents, interrupt)?)
}
