//! `saltworks-train init`.

use crate::common::arguments::OUTPUT;
use crate::common::exit::Result;
use crate::common::print::out;
use saltworks::storage::{Publish, StorageError, create_if_absent, is_url, sweep_abandoned};
use saltworks::train::config::ConfigError;
use saltworks::train::export::{HfModel, find_model, model_place, read_hf};
use std::fmt::Display;
use std::path::{Path, PathBuf, absolute};

/// Sequence length of a fresh model's configuration, tokens.
const FRESH_SEQ_LEN: usize = 256;

const EXAMPLES: &str = "\
Examples:
  saltworks-train init --output runs/llm
  saltworks-train init --from path/to/llama --output runs/llm";

/// Write a run.toml to start from, for a new model or an existing one.
///
/// With --from, a Hugging Face Llama directory is read and checked first; the run then starts from
/// its weights.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Hugging Face directory of a LlamaForCausalLM, a finished run, or a checkpoint.
    #[arg(long, help_heading = "Model", value_name = "DIR|URL")]
    from: Option<PathBuf>,

    /// Directory of the run; run.toml is written there.
    #[arg(long, help_heading = OUTPUT, short, value_name = "DIR")]
    output: PathBuf,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let from = args.from.as_deref().map(read).transpose()?;
    let path = args.output.join("run.toml");
    std::fs::create_dir_all(&args.output)
        .map_err(|source| StorageError::io("create", &args.output, source))?;
    let text = starter(&path, from.as_ref())?;
    sweep_abandoned(&args.output, "run.toml")?;
    if create_if_absent(&path, text.as_bytes())? == Publish::AlreadyThere {
        return Err(ConfigError::Value {
            key: "--output".to_owned(),
            expected: "a directory without a run.toml".to_owned(),
            got: args.output.display().to_string(),
            remedy: "edit the existing one, or choose another directory".to_owned(),
        }
        .into());
    }
    if let Some(from) = &from {
        print_model(from);
    }
    out!(
        "edit {path}, then: saltworks-train run --config {path}",
        path = path.display()
    );
    Ok(())
}

/// A model to start from, and the directory or URL where it is.
struct From {
    place: PathBuf,
    model: HfModel,
}

fn read(path: &Path) -> Result<From> {
    let place = model_place(path)?;
    let model = read_hf(&find_model(&place)?)?;
    let place = match is_url(&place) {
        true => place,
        false => absolute(place)?,
    };
    Ok(From { place, model })
}

fn print_model(from: &From) {
    let spec = &from.model.params.spec;
    out!(
        "{}: {} parameters",
        from.place.display(),
        spec.n_parameters()
    );
    let rest: [(&str, &dyn Display); 3] = [
        ("rope_theta", &spec.rope_theta),
        ("norm_eps", &spec.norm_eps),
        ("tie_embeddings", &spec.tie_embeddings),
    ];
    let dims = spec.dims();
    let dims = dims
        .iter()
        .map(|(key, value)| (*key, value as &dyn Display));
    for (key, value) in dims.chain(rest) {
        out!("  {:<15}{value}", key.trim_start_matches("model."));
    }
    if let Some(scaling) = spec.rope_scaling {
        let (factor, n_original) = (scaling.factor, scaling.n_original);
        out!("  rope_scaling   llama3, by {factor} from {n_original} positions on");
    }
}

/// A string as TOML writes it.
fn quoted(text: impl Display) -> String {
    toml::Value::String(text.to_string()).to_string()
}

fn starter(path: &Path, from: Option<&From>) -> Result<String> {
    let model = match from {
        Some(from) => format!("init = {}", quoted(from.place.display())),
        None => FRESH_MODEL.trim_end().to_owned(),
    };
    let tokenizer = match from.and_then(|from| from.model.tokenizer.as_ref()) {
        Some(_) => {
            "# tokenizer = \"../tokenizer.json\"  # default: the one next to the weights".to_owned()
        }
        None => "tokenizer = \"../tokenizer.json\"".to_owned(),
    };
    let seq_len = from.map_or(FRESH_SEQ_LEN, |from| {
        from.model.params.spec.max_seq_len.min(2 * FRESH_SEQ_LEN)
    });
    Ok(format!(
        r#"# A training run of saltworks-train. Any key can also be given as --set KEY=VALUE; docs/options.md has them all.
# Relative paths are relative to this file; those of --set are relative to the working directory.
#   saltworks-train run --config {path} --dry-run   says what it takes
#   saltworks-train run --config {path}             trains; --resume continues a stopped run

output = "."                   # this directory
{model}

[data]
tokens = "../corpus"           # made by `saltworks tokenize`; or nanoGPT's, llm.c's, Parquet
# validation = "../validation" # held out, of the same tokenizer
{tokenizer}
seq_len = {seq_len}
# labels = "../labels"         # made by `saltworks label`; then leave seq_len out: it is theirs

[train]
steps = 1000                   # optimizer steps
batch_size = 16                # sequences a step
# micro_batch_size = 4         # sequences at a time: less memory, the same step
# recompute = true             # less memory still, and slower
# threads = 2                  # default: all cores; the same number gives the same bits
seed = 0

[schedule]
lr = 1e-3
shape = "cosine"               # constant, linear, cosine or wsd
warmup_steps = 100

# [kd]                         # learning from labels
# mode = "salt"                # baseline, rkd, salt, salt-ds or ds-ce
# n_kd = 200                   # steps of stage 1, which reads labels
# omega = 0.9                  # fraction of KD in its loss; better than the default, 0.5, with a teacher that is the better model
# lr_factor = 2                # the learning rate of stage 1 as a multiple of lr; see docs/experiments.md
# transition = "step"          # step, linear or auto

[eval]
every = 200                    # steps between two validations

[checkpoint]
every = 500                    # steps between two checkpoints
keep_last = 2
"#,
        path = path.display(),
    ))
}

const FRESH_MODEL: &str = "
[model]                        # the vocabulary is the tokenizer's
d_model = 256
n_layers = 6
n_heads = 8
# n_kv_heads = 4               # fewer share keys and values
d_ff = 688
# tie_embeddings = true        # the embedding is the head too
";
