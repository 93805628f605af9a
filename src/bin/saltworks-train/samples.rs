//! What the models of an experiment write after the same words.

use super::generate;
use super::opened::ModelArgs;
use crate::common::arguments::{Json, Threads};
use crate::common::exit::Result;
use crate::common::print::say;
use saltworks::experiment::Results;
use saltworks::experiment::report::{ArmSample, Samples, weights_of};
use saltworks::interrupt::Interrupt;
use saltworks::tokens::SpecialChoice;
use std::path::{Path, PathBuf};

/// Tokens after the prompt, unless said otherwise.
const DEFAULT_MAX_TOKENS: usize = 96;
/// What logits are divided by, unless said otherwise.
const DEFAULT_TEMPERATURE: f64 = 0.8;

/// What is written, and how.
#[derive(clap::Args, Debug, Clone, PartialEq)]
#[group(skip)]
#[command(next_help_heading = "Texts of the models")]
pub(crate) struct Options {
    /// Let the model of every arm continue this text, and keep what it writes in samples.json.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) prompt: Option<String>,
    /// Tokens to write at most.
    #[arg(long, value_name = "N", requires = "prompt", default_value_t = DEFAULT_MAX_TOKENS)]
    max_tokens: usize,
    /// Divides the logits; 0 always takes the likeliest.
    #[arg(long, value_name = "TAU", requires = "prompt", default_value_t = DEFAULT_TEMPERATURE)]
    temperature: f64,
    /// Seed of the sampling, the same for all arms.
    #[arg(long, value_name = "SEED", requires = "prompt", default_value_t = 0)]
    seed: u64,
}

impl Options {
    /// The usual ones.
    pub(crate) fn of(prompt: String) -> Self {
        Self {
            prompt: Some(prompt),
            max_tokens: DEFAULT_MAX_TOKENS,
            temperature: DEFAULT_TEMPERATURE,
            seed: 0,
        }
    }
}

/// Writes `samples.json` in `root`: a text of each arm that has a finished run, of its first. Where all of them
/// are there already, nothing is done.
pub(crate) fn write(root: &Path, results: &Results, options: &Options) -> Result<()> {
    let models = models_of(root, results)?;
    let mut samples = Samples {
        prompt: options.prompt.clone().unwrap_or_default(),
        seed: options.seed,
        temperature: options.temperature,
        max_tokens: options.max_tokens,
        texts: models.iter().map(|(_, sample)| sample.clone()).collect(),
    };
    if Samples::read(root)?.is_some_and(|known| is_same(&known, &samples)) {
        return Ok(());
    }
    // A signal ends the process: what is written takes its place at the end, whole.
    let interrupt = Interrupt::new();
    for ((model, _), sample) in models.iter().zip(&mut samples.texts) {
        say!(
            "{}: generating up to {} tokens",
            sample.arm,
            options.max_tokens
        );
        continue_prompt(model, options, &interrupt, sample)?;
    }
    Ok(samples.write(root)?)
}

/// Directory of a model, and the arm that trained it.
fn models_of(root: &Path, results: &Results) -> Result<Vec<(PathBuf, ArmSample)>> {
    let mut models = Vec::new();
    for arm in &results.arms {
        let Some(run) = arm.runs.iter().find(|run| run.at(1.0).is_some()) else {
            continue;
        };
        let dir = root.join(&run.dir).join("final");
        let sample = ArmSample {
            arm: arm.name.clone(),
            seed: run.seed,
            model: weights_of(&dir)?,
            ..ArmSample::default()
        };
        models.push((dir, sample));
    }
    Ok(models)
}

/// Whether what is known is of the same models and options, whatever was written.
fn is_same(known: &Samples, wanted: &Samples) -> bool {
    let mut known = known.clone();
    for sample in &mut known.texts {
        (sample.text, sample.end) = Default::default();
    }
    known == *wanted
}

fn continue_prompt(
    model: &Path,
    options: &Options,
    interrupt: &Interrupt,
    sample: &mut ArmSample,
) -> Result<()> {
    let args = generate::Args {
        model: ModelArgs {
            model: model.to_path_buf(),
            tokenizer: None,
        },
        prompt: options.prompt.clone().unwrap_or_default(),
        max_tokens: options.max_tokens,
        temperature: options.temperature,
        top_k: None,
        seed: options.seed,
        samples: 1,
        bos: SpecialChoice::Auto,
        eod: SpecialChoice::Auto,
        threads: Threads { threads: 0 },
        json: Json { is_asked: false },
    };
    args.write(interrupt, |written| {
        (sample.text, sample.end) = (written.text, written.end.to_owned());
        Ok(())
    })
}
