//! `saltworks-train export`.

use super::opened::{ModelArgs, OpenedModel};
use anyhow::Context;
use saltworks::train::export::{
    ExportError, HF_FILES, OnnxWeights, config_json, onnx_data_path, write_hf, write_onnx,
};
use saltworks::train::model::Params;
use std::path::{Path, PathBuf};

/// Write a model as a Hugging Face directory, as ONNX, or both.
///
/// The directory holds config.json, model.safetensors (f32) and tokenizer.json, and loads in
/// transformers as LlamaForCausalLM. The ONNX model takes `input_ids` int64 [batch, sequence], both
/// dynamic, and gives `logits` f32; `saltworks label` takes it as a teacher.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true).args(["output", "onnx"])))]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Directory for the Hugging Face model.
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,

    /// File for the ONNX model. A config.json beside it, which is written if there is none, tells
    /// `saltworks label` the longest sequence.
    #[arg(long, value_name = "FILE")]
    onnx: Option<PathBuf>,

    /// Put the ONNX model's weights into FILE.data beside it; needed past 2 GiB.
    #[arg(long, requires = "onnx")]
    external_data: bool,

    /// Replace what is in the output.
    #[arg(long)]
    overwrite: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    args.check_outputs()?;
    let (opened, params) = args.model.open()?;
    if let Some(dir) = &args.output {
        write_directory(dir, &opened, &params)?;
        println!("wrote {}", dir.display());
    }
    if let Some(path) = &args.onnx {
        let weights = match args.external_data {
            true => OnnxWeights::External,
            false => OnnxWeights::Inline,
        };
        write_onnx_beside_config(path, &opened, &params, weights)?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

impl Args {
    /// Nothing that is there is replaced unasked, and that is known before the model is read.
    fn check_outputs(&self) -> Result<(), ExportError> {
        let files = |dir: &PathBuf| HF_FILES.map(|name| dir.join(name));
        let data = self.onnx.as_deref().map(onnx_data_path);
        let outputs = self
            .output
            .iter()
            .flat_map(files)
            .chain(self.onnx.clone())
            .chain(data.filter(|_| self.external_data));
        match outputs.into_iter().find(|path| path.exists()) {
            Some(path) if !self.overwrite => Err(ExportError::AlreadyThere { path }),
            _ => Ok(()),
        }
    }
}

fn write_directory(dir: &Path, opened: &OpenedModel, params: &Params) -> anyhow::Result<()> {
    let tokenizer = match &opened.tokenizer {
        Some((_, path)) => {
            Some(std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?)
        }
        None => {
            anstream::eprintln!(
                "note: there is no tokenizer.json, so none goes with the model; --tokenizer would name one"
            );
            None
        }
    };
    let tokenizer = tokenizer.as_deref();
    Ok(write_hf(dir, params, &opened.special, tokenizer)?)
}

fn write_onnx_beside_config(
    path: &Path,
    opened: &OpenedModel,
    params: &Params,
    weights: OnnxWeights,
) -> anyhow::Result<()> {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = parent.unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    write_onnx(path, params, weights)?;
    let text = config_json(&params.spec, &opened.special);
    let config = dir.join("config.json");
    saltworks::storage::create_if_absent(&config, text.as_bytes())?;
    let there =
        std::fs::read(&config).with_context(|| format!("cannot read {}", config.display()))?;
    if there != text.as_bytes() {
        anstream::eprintln!(
            "note: {} was there already and is not this model's; `saltworks label` reads the longest sequence from it",
            config.display()
        );
    }
    Ok(())
}
