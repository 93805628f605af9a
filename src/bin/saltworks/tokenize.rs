//! `saltworks tokenize`.

pub(crate) mod inputs;
pub(crate) mod progress;

use self::inputs::{InputArgs, print_notes};
use self::progress::Progress;
use crate::common::arguments::{Json, OUTPUT, Overwrite, Threads};
use crate::common::exit::Result;
use crate::common::print::{self, out, say};
use saltworks::corpus::DEFAULT_ID_FIELD;
use saltworks::shards::CorpusSpelling;
use saltworks::tokens::{
    CorpusJson, CorpusWriter, EncodeOptions, SpecialChoice, Tokenizer, WriterSettings,
    copy_tokenizer, encode_documents,
};
use std::ops::ControlFlow;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  saltworks tokenize --input corpus/*.jsonl.zst --tokenizer tokenizer.json --output tokens
  saltworks tokenize --input corpus.parquet --text-field content --tokenizer tokenizer.json --eod none --output tokens
  saltworks tokenize --input corpus/*.jsonl.zst --tokenizer tokenizer.json --output s3://bucket/tokens";

/// Turn documents into a token corpus (Megatron .bin/.idx and a corpus.json).
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    inputs: InputArgs,
    /// JSON field or Parquet column with an id of each document (a string or an integer), which
    /// documents.parquet keeps.
    #[arg(long, help_heading = "Documents", value_name = "NAME", default_value = DEFAULT_ID_FIELD)]
    id_field: String,
    /// Hugging Face tokenizer.json.
    #[arg(long, help_heading = "Tokenizer", value_name = "FILE|URL")]
    tokenizer: PathBuf,
    /// Directory for tokens.bin, tokens.idx, documents.parquet and corpus.json. Files for a store are made in
    /// TMPDIR and uploaded when all of them are complete.
    #[arg(long, help_heading = OUTPUT, short, value_name = "DIR|URL")]
    output: PathBuf,
    /// Id before every document; auto: the ids that the tokenizer's post-processor adds before a
    /// text.
    #[arg(
        long,
        help_heading = "Tokenizer",
        value_name = "TOKEN|ID|auto|none",
        default_value_t
    )]
    bos: SpecialChoice,
    /// Id after every document; auto: the ids that the tokenizer's post-processor adds after a
    /// text, or else its end-of-text token, if it has a well-known name.
    #[arg(
        long,
        help_heading = "Tokenizer",
        value_name = "TOKEN|ID|auto|none",
        default_value_t
    )]
    eod: SpecialChoice,
    #[command(flatten)]
    threads: Threads,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    args.inputs.check_output(&args.output)?;
    let interrupt = crate::common::signals::interrupt()?;
    let opened = args.inputs.open(&interrupt, Some(&args.id_field))?;
    let tokenizer = Tokenizer::open(&args.tokenizer)?;
    let options = EncodeOptions {
        bos: args.bos.resolve_bos(&tokenizer)?,
        eod: args.eod.resolve_eod(&tokenizer)?,
        n_threads: args.threads.threads,
    };
    announce(&args, &options, &tokenizer);
    let settings = WriterSettings {
        bos: options.bos.clone(),
        eod: options.eod.clone(),
        overwrite: args.overwrite.overwrite,
    };
    let mut writer = CorpusWriter::create(&args.output, &tokenizer, settings)?;
    if writer.replaces_unfinished() {
        say!("note: replacing token files without a corpus.json, left by an unfinished run");
    }
    let documents = opened.documents;
    let progress = Progress::new(documents.bytes_total());
    let tally = encode_documents(documents, &tokenizer, &options, &mut writer, |now| {
        progress.show(now);
        if interrupt.is_requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    progress.finish();
    // Before corpus.json, so that a directory with a corpus.json is complete.
    let replaces = args.overwrite.overwrite || writer.replaces_unfinished();
    copy_tokenizer(&args.output, &args.tokenizer, replaces)?;
    let corpus = writer.finish(tally)?;
    match args.json.is_asked {
        true => print::json(&corpus, true)?,
        false => summarize(&args, &options, &corpus, &tokenizer, progress.seconds()),
    }
    print_notes(&opened.left_out, &tally);
    if let Some(note) = spelling_note(&corpus) {
        say!("note: {note}");
    }
    Ok(())
}

/// The meaning of `auto` is printed before the long work, when it can still be changed.
fn announce(args: &Args, options: &EncodeOptions, tokenizer: &Tokenizer) {
    let bos = describe(&args.bos, &options.bos, tokenizer);
    let eod = describe(&args.eod, &options.eod, tokenizer);
    say!("bos {bos}; eod {eod}; {} ids", tokenizer.vocab_size());
    if options.eod.is_empty() && args.eod == SpecialChoice::Auto {
        say!(
            "note: the tokenizer has no token that ends documents, so documents are not separated: choose one with --eod, or pass --eod none"
        );
    }
}

fn describe(choice: &SpecialChoice, ids: &[u32], tokenizer: &Tokenizer) -> String {
    let resolved = tokenizer.describe(ids);
    if *choice == SpecialChoice::Auto {
        format!("{resolved} (auto)")
    } else {
        resolved
    }
}

/// Printed early, before a model labels what cannot be compared.
fn spelling_note(corpus: &CorpusJson) -> Option<String> {
    let n_not_spelled = corpus.documents.as_ref()?.n_not_spelled?;
    let spelling = CorpusSpelling {
        n_documents: corpus.n_documents,
        n_not_spelled,
    };
    spelling.note()
}

/// How the documents are identified.
fn describe_ids(corpus: &CorpusJson) -> String {
    let Some(documents) = &corpus.documents else {
        return "none".to_owned();
    };
    let n_known = corpus.n_documents - documents.n_without_id - documents.n_other_ids;
    let mut text = n_known.to_string();
    for (n, what) in [
        (documents.n_other_ids, "are neither strings nor integers"),
        (documents.n_repeated_ids, "repeat an earlier one"),
    ] {
        if n > 0 {
            text += &format!(", {n} {what}");
        }
    }
    text
}

fn summarize(
    args: &Args,
    options: &EncodeOptions,
    corpus: &CorpusJson,
    tokenizer: &Tokenizer,
    seconds: f64,
) {
    let bytes_per_token = corpus.n_text_bytes as f64 / corpus.n_tokens.max(1) as f64;
    let tokens_per_second = corpus.n_tokens as f64 / seconds.max(1e-9);
    let lines = [
        ("documents", corpus.n_documents.to_string()),
        (
            "left out",
            format!(
                "{} empty, {} bad lines",
                corpus.n_empty_documents, corpus.n_bad_lines
            ),
        ),
        ("ids", describe_ids(corpus)),
        ("tokens", corpus.n_tokens.to_string()),
        (
            "bytes/token",
            format!(
                "{bytes_per_token:.3} of text, {} in the file",
                corpus.dtype.bytes()
            ),
        ),
        ("bos", describe(&args.bos, &options.bos, tokenizer)),
        ("eod", describe(&args.eod, &options.eod, tokenizer)),
        (
            "tokenizer",
            format!(
                "{}, {} ids",
                corpus.tokenizer_fingerprint, corpus.vocab_size
            ),
        ),
        (
            "time",
            format!("{seconds:.1} s, {tokens_per_second:.0} tokens/s"),
        ),
        ("output", args.output.display().to_string()),
    ];
    for (name, value) in lines {
        out!("{name:<12} {value}");
    }
}
