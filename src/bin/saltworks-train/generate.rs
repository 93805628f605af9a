//! `saltworks-train generate`.

use super::opened::{ModelArgs, OpenedModel, check_memory, flow, interrupt, pool};
use crate::common::arguments::{Json, Threads};
use crate::common::exit::Result;
use crate::common::print::{self, out, say};
use saltworks::tokens::{SpecialChoice, Tokenizer};
use saltworks::train::eval::{SampleOptions, Stop, generate};
use saltworks::train::model::{Capacity, Network};

const EXAMPLES: &str = "\
Example:
  saltworks-train generate --model runs/llm --prompt \"The sea\" --temperature 0.8";

/// Let a model continue a prompt, to see what it writes.
///
/// Every token recomputes the whole text before it (there is no cache of keys and values), which is
/// fine for a few lines. Prompt and text together are at most as long as the model is for.
#[derive(clap::Args)]
#[group(skip)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Text to continue. Without one the model begins a text, after the id that ends another.
    #[arg(
        long,
        help_heading = "Text",
        value_name = "TEXT",
        default_value = "",
        allow_hyphen_values = true
    )]
    prompt: String,

    /// Tokens to write at most.
    #[arg(long, help_heading = "Text", value_name = "N", default_value_t = 128)]
    max_tokens: usize,

    /// Divides the logits: below 1 keeps to the likely, above 1 strays; 0 always takes the likeliest.
    #[arg(long, help_heading = "Text", value_name = "TAU", default_value_t = 1.0)]
    temperature: f64,

    /// Draw from the K likeliest tokens only. Default: from all.
    #[arg(long, help_heading = "Text", value_name = "K")]
    top_k: Option<usize>,

    /// Seed of the draws: the same one writes the same text.
    #[arg(long, help_heading = "Text", value_name = "SEED", default_value_t = 0)]
    seed: u64,

    /// Texts to write.
    #[arg(long, help_heading = "Text", value_name = "N", default_value_t = 1)]
    samples: u64,

    /// Id in front of the prompt; auto: what the tokenizer's post-processor puts there, else the
    /// bos_token_id of the model's config.json.
    #[arg(
        long,
        help_heading = "Text",
        value_name = "TOKEN|ID|auto|none",
        default_value_t
    )]
    bos: SpecialChoice,

    /// Id that ends a text; auto: the eos_token_id of the model's config.json, and what ends a
    /// document of the tokenizer.
    #[arg(
        long,
        help_heading = "Text",
        value_name = "TOKEN|ID|auto|none",
        default_value_t
    )]
    eod: SpecialChoice,

    #[command(flatten)]
    threads: Threads,

    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let (opened, params) = args.model.open()?;
    let (tokenizer, _) = opened.need_tokenizer()?;
    let prompt = args.prompt_ids(&opened, tokenizer)?;
    let mut options = args.sample_options(&opened, tokenizer)?;
    options.check()?;
    let interrupt = interrupt()?;
    let pool = pool(args.threads.threads)?;
    let capacity = args.capacity(&opened, &prompt, pool.current_num_threads());
    check_memory(&opened.spec, &capacity, "lower --max-tokens")?;
    let mut network = Network::new(params, capacity);
    for sample_idx in 0..args.samples {
        if print::is_output_lost() {
            break;
        }
        options.sample_idx = sample_idx;
        let written =
            pool.install(|| generate(&mut network, &prompt, &options, |_| flow(&interrupt)))?;
        let text = tokenizer.decode(&[&prompt[..], &written.ids].concat());
        let text = shown(&text, tokenizer, &prompt);
        if args.json.is_asked {
            let sample = serde_json::json!({
                "sample": sample_idx,
                "text": text,
                "ids": written.ids,
                "end": why(written.stop),
            });
            print::json(&sample, false)?;
            continue;
        }
        print_sample(&args, sample_idx, text);
        say!("note: {} tokens; {}", written.ids.len(), why(written.stop));
    }
    Ok(())
}

impl Args {
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
        Capacity {
            n_positions,
            seq_len: n_positions,
            threads,
            training: false,
            recompute: false,
        }
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
        Stop::MaxTokens => "as many as --max-tokens allows",
        Stop::MaxSeqLen => "the model is for no more positions",
    }
}
