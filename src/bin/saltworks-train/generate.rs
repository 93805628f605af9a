//! `saltworks-train generate`.

use super::opened::{ModelArgs, OpenedModel, check_memory, pool};
use crate::common::arguments::{Json, Threads};
use crate::common::exit::Result;
use crate::common::print::{self, out, say};
use saltworks::interrupt::Interrupt;
use saltworks::tokens::{SpecialChoice, Tokenizer};
use saltworks::train::eval::{SampleOptions, Stop, generate};
use saltworks::train::model::{Capacity, Network};

const EXAMPLES: &str = "\
Example:
  saltworks-train generate --model runs/llm --prompt \"The sea\" --temperature 0.8";

/// Continue a prompt with a model.
///
/// There is no KV cache: every token recomputes the whole text before it, which is fast enough for
/// a few lines. Prompt and text together have at most the model's maximum length.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
#[command(next_help_heading = "Text")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) model: ModelArgs,

    /// Text to continue. Without one the model starts a new text, after the id that ends a text.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        allow_hyphen_values = true
    )]
    pub(crate) prompt: String,

    /// Maximum number of tokens to generate.
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) max_tokens: usize,

    /// Sampling temperature; 0 always takes the most likely token.
    #[arg(long, value_name = "TAU", default_value_t = 1.0)]
    pub(crate) temperature: f64,

    /// Sample from the K most likely tokens. Default: from all.
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,

    /// Seed of the sampling: the same seed gives the same text.
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Number of texts.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) samples: u64,

    /// Id before the prompt; auto: the ids that the tokenizer's post-processor adds before a text,
    /// or else the bos_token_id of the model's config.json.
    #[arg(long, value_name = "TOKEN|ID|auto|none", default_value_t)]
    pub(crate) bos: SpecialChoice,

    /// Id that ends a text; auto: the eos_token_id of the model's config.json, and the tokenizer's
    /// end of a document.
    #[arg(long, value_name = "TOKEN|ID|auto|none", default_value_t)]
    pub(crate) eod: SpecialChoice,

    #[command(flatten)]
    pub(crate) threads: Threads,

    #[command(flatten)]
    pub(crate) json: Json,
}

/// One text.
pub(crate) struct Sample {
    /// Which of several.
    pub(crate) idx: u64,
    /// The prompt, and what was written after it.
    pub(crate) text: String,
    pub(crate) ids: Vec<u32>,
    /// Why it ends.
    pub(crate) end: &'static str,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let interrupt = crate::common::signals::interrupt()?;
    args.write(&interrupt, |sample| {
        if args.json.is_asked {
            let sample = serde_json::json!({
                "sample": sample.idx,
                "text": sample.text,
                "ids": sample.ids,
                "end": sample.end,
            });
            return Ok(print::json(&sample, false)?);
        }
        print_sample(&args, sample.idx, &sample.text);
        say!("note: {} tokens; {}", sample.ids.len(), sample.end);
        Ok(())
    })
}

impl Args {
    /// Writes the texts, one after the other, while anybody takes them.
    pub(crate) fn write(
        &self,
        interrupt: &Interrupt,
        mut on_sample: impl FnMut(Sample) -> Result<()>,
    ) -> Result<()> {
        let (opened, params) = self.model.open()?;
        let (tokenizer, _) = opened.require_tokenizer()?;
        let prompt = self.prompt_ids(&opened, tokenizer)?;
        let mut options = self.sample_options(&opened, tokenizer)?;
        options.check()?;
        let pool = pool(self.threads.threads)?;
        let capacity = self.capacity(&opened, &prompt, pool.current_num_threads());
        check_memory(&opened.spec, &capacity, "lower --max-tokens")?;
        let mut network = Network::new(params, capacity);
        for idx in 0..self.samples {
            if print::is_output_lost() {
                break;
            }
            options.sample_idx = idx;
            let written =
                pool.install(|| generate(&mut network, &prompt, &options, |_| interrupt.flow()))?;
            let text = tokenizer.decode(&[&prompt[..], &written.ids].concat());
            on_sample(Sample {
                idx,
                text: shown(&text, tokenizer, &prompt).to_owned(),
                ids: written.ids,
                end: why(written.stop),
            })?;
        }
        Ok(())
    }

    fn prompt_ids(&self, opened: &OpenedModel, tokenizer: &Tokenizer) -> Result<Vec<u32>> {
        let mut bos = self.bos.resolve_bos(tokenizer)?;
        if self.bos == SpecialChoice::Auto {
            if bos.is_empty() {
                bos.extend(opened.special.bos);
            }
            // With nothing in front and no prompt, a text begins where another one has ended.
            if self.prompt.is_empty() && bos.is_empty() {
                bos = self.eod.resolve_eod(tokenizer)?;
            }
        }
        Ok(bos
            .into_iter()
            .chain(tokenizer.encode(&self.prompt)?)
            .collect())
    }

    fn sample_options(&self, opened: &OpenedModel, tokenizer: &Tokenizer) -> Result<SampleOptions> {
        let mut stops = self.eod.resolve_eod(tokenizer)?;
        if self.eod == SpecialChoice::Auto {
            stops.extend(&opened.special.eos);
        }
        Ok(SampleOptions {
            max_tokens: self.max_tokens,
            temperature: self.temperature,
            top_k: self.top_k,
            seed: self.seed,
            sample_idx: 0,
            stops,
            vocab_size: tokenizer.vocab_size() as usize,
        })
    }

    fn capacity(&self, opened: &OpenedModel, prompt: &[u32], threads: usize) -> Capacity {
        let longest = prompt.len().saturating_add(self.max_tokens);
        let n_positions = longest.clamp(1, opened.spec.max_seq_len);
        Capacity::of_inference(n_positions, n_positions, threads)
    }
}

/// Without the id in front of the prompt, which is not part of the text.
fn shown<'t>(text: &'t str, tokenizer: &Tokenizer, prompt: &[u32]) -> &'t str {
    let bos = prompt.first().filter(|&&id| tokenizer.is_special(id));
    let spelt = bos.map(|&id| tokenizer.token_text(id));
    spelt
        .and_then(|bos| text.strip_prefix(bos.as_str()))
        .unwrap_or(text)
}

fn print_sample(args: &Args, sample_idx: u64, text: &str) {
    if args.samples > 1 {
        out!("--- {}", sample_idx + 1);
    }
    // What the model wrote may have lines of its own.
    print::block(&format!("{}\n", text.trim_start()));
}

fn why(stop: Stop) -> &'static str {
    match stop {
        Stop::EndOfDocument => "the model ended it",
        Stop::MaxTokens => "limit of tokens reached",
        Stop::MaxSeqLen => "the model's maximum length reached",
    }
}
