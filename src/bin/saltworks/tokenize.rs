//! `saltworks tokenize`.

pub(crate) mod progress;

use self::progress::Progress;
use crate::common::print::{out, say};
use saltworks::corpus::{CorpusOptions, DEFAULT_TEXT_FIELD, Documents, expand_inputs};
use saltworks::storage::{PlaceError, check_apart, resolved_path};
use saltworks::tokens::{
    CorpusJson, CorpusWriter, EncodeOptions, SpecialChoice, Tokenizer, encode_documents,
};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Turn documents into a token corpus (Megatron .bin/.idx and a corpus.json).
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    /// Hugging Face tokenizer.json.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// Directory for tokens.bin, tokens.idx and corpus.json.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Id in front of every document; auto: what the tokenizer's post-processor puts there.
    #[arg(long, value_name = "TOKEN|ID|auto|none", default_value_t)]
    bos: SpecialChoice,
    /// Id behind every document; auto: what the tokenizer's post-processor puts there, else its
    /// end-of-text token of a well-known name.
    #[arg(long, value_name = "TOKEN|ID|auto|none", default_value_t)]
    eod: SpecialChoice,
    /// Threads that encode; 0 for one a core. The output is the same for any number.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Replace a corpus that is in the output directory.
    #[arg(long)]
    overwrite: bool,
}

/// Which documents; the same for `tokenize` and `tokenizer train`.
#[derive(clap::Args)]
pub(crate) struct InputArgs {
    /// Files, directories or globs of .jsonl, .json, .ndjson or .txt (plain, .gz or .zst) or .parquet.
    #[arg(long, value_name = "PATH", required = true, num_args = 1..)]
    input: Vec<String>,
    /// JSON field, or Parquet column, that holds the text.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TEXT_FIELD)]
    text_field: String,
    /// Count lines that are no documents and go on, instead of stopping at the first.
    #[arg(long)]
    skip_bad_lines: bool,
}

impl InputArgs {
    /// Refuses an output that is an input, or that a second reading of the inputs would find.
    pub(crate) fn check_output(&self, output: &Path) -> Result<(), PlaceError> {
        self.input.iter().try_for_each(|input| {
            let is_pattern = input.contains(['*', '?', '[']) && !Path::new(input).exists();
            match (is_pattern, Path::new(input).parent()) {
                (false, _) => check_apart(output, Path::new(input)),
                // What is written there could match it.
                (true, Some(folder)) if resolved_path(folder) == resolved_path(output) => {
                    check_apart(output, folder)
                }
                (true, _) => Ok(()),
            }
        })
    }

    pub(crate) fn open(&self) -> anyhow::Result<Documents> {
        let options = CorpusOptions {
            text_field: self.text_field.clone(),
            skip_bad_lines: self.skip_bad_lines,
            ..CorpusOptions::default()
        };
        Ok(Documents::open(expand_inputs(&self.input)?, options)?)
    }
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    args.inputs.check_output(&args.output)?;
    let documents = args.inputs.open()?;
    let tokenizer = Tokenizer::open(&args.tokenizer)?;
    let options = EncodeOptions {
        bos: args.bos.resolve_bos(&tokenizer)?,
        eod: args.eod.resolve_eod(&tokenizer)?,
        n_threads: args.threads,
    };
    announce(&args, &options, &tokenizer);
    let interrupt = super::signals::interrupt()?;
    let (bos, eod) = (options.bos, options.eod);
    let mut writer = CorpusWriter::create(&args.output, &tokenizer, bos, eod, args.overwrite)?;
    let mut progress = Progress::new(documents.bytes_total());
    let tally = encode_documents(documents, &tokenizer, &options, &mut writer, |now| {
        progress.show(now);
        if interrupt.is_requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    progress.finish();
    let corpus = writer.finish(tally)?;
    summarize(&args, &corpus, &tokenizer, progress.seconds());
    Ok(())
}

/// What `auto` came to is told before the long work, when it can still be changed.
fn announce(args: &Args, options: &EncodeOptions, tokenizer: &Tokenizer) {
    let bos = describe(&args.bos, options.bos, tokenizer);
    let eod = describe(&args.eod, options.eod, tokenizer);
    say!("bos {bos}; eod {eod}; {} ids", tokenizer.vocab_size());
}

fn describe(choice: &SpecialChoice, id: Option<u32>, tokenizer: &Tokenizer) -> String {
    let resolved = match id {
        Some(id) => format!("{id} `{}`", tokenizer.token_text(id)),
        None => "none".to_owned(),
    };
    if *choice == SpecialChoice::Auto {
        format!("{resolved} (auto)")
    } else {
        resolved
    }
}

fn summarize(args: &Args, corpus: &CorpusJson, tokenizer: &Tokenizer, seconds: f64) {
    let bytes_a_token = corpus.n_text_bytes as f64 / corpus.n_tokens.max(1) as f64;
    let tokens_a_second = corpus.n_tokens as f64 / seconds.max(1e-9);
    let lines = [
        ("documents", corpus.n_documents.to_string()),
        (
            "left out",
            format!(
                "{} empty, {} bad lines",
                corpus.n_empty_documents, corpus.n_bad_lines
            ),
        ),
        ("tokens", corpus.n_tokens.to_string()),
        (
            "bytes/token",
            format!(
                "{bytes_a_token:.3} of text, {} in the file",
                corpus.dtype.bytes()
            ),
        ),
        ("bos", describe(&args.bos, corpus.bos, tokenizer)),
        ("eod", describe(&args.eod, corpus.eod, tokenizer)),
        (
            "tokenizer",
            format!(
                "{}, {} ids",
                corpus.tokenizer_fingerprint, corpus.vocab_size
            ),
        ),
        (
            "time",
            format!("{seconds:.1} s, {tokens_a_second:.0} tokens/s"),
        ),
        ("output", args.output.display().to_string()),
    ];
    for (name, value) in lines {
        out!("{name:<12} {value}");
    }
}
