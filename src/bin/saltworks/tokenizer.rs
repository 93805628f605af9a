//! `saltworks tokenizer train` and `saltworks tokenizer info`.

use crate::common::arguments::{Json, OUTPUT, Overwrite};
use crate::common::exit::Result;
use crate::common::print::{self, out, say};
use crate::tokenize::inputs::{InputArgs, print_notes};
use crate::tokenize::progress::Progress;
use clap::builder::NonEmptyStringValueParser;
use saltworks::tokens::{
    DEFAULT_TRAIN_TEXT_BYTES, END_OF_TEXT, EncodeProgress, Tokenizer, TokenizerOutput,
    TrainOptions, TrainedTokenizer, train_bpe,
};
use std::path::PathBuf;

/// Eight times the largest in use; memory for all of them is allocated at the start.
const MAX_VOCAB_SIZE: i64 = 1 << 21;

/// Train a tokenizer, or show what identifies one.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Train(TrainArgs),
    Info(InfoArgs),
}

const EXAMPLES: &str = "\
Examples:
  saltworks tokenizer train --input corpus --vocab-size 32000 --output tokenizer.json
  saltworks tokenizer info tokenizer.json";

const INFO_EXAMPLES: &str = "\
Example:
  saltworks tokenizer info tokenizer.json";

/// Show the fingerprint of a tokenizer.json, and how many ids it has.
///
/// The fingerprint is the one that corpora and labels record: it is the same for two files if and only if every
/// id stands for the same bytes.
#[derive(clap::Args)]
#[command(after_help = INFO_EXAMPLES)]
struct InfoArgs {
    /// The tokenizer.json.
    #[arg(value_name = "FILE")]
    tokenizer: PathBuf,
    #[command(flatten)]
    json: Json,
}

/// Train a byte-level BPE tokenizer on documents.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
struct TrainArgs {
    #[command(flatten)]
    inputs: InputArgs,
    /// Number of ids, including the 256 bytes and the special tokens.
    #[arg(long, help_heading = "Tokenizer", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=MAX_VOCAB_SIZE))]
    vocab_size: u32,
    /// The tokenizer.json to write.
    #[arg(long, help_heading = OUTPUT, short, value_name = "FILE")]
    output: PathBuf,
    /// Special token; may be repeated. Special tokens get the first ids, in this order.
    #[arg(long, help_heading = "Tokenizer", value_name = "TOKEN", default_values = [END_OF_TEXT], value_parser = NonEmptyStringValueParser::new())]
    special: Vec<String>,
    /// Stop reading after this many bytes of text.
    #[arg(long, help_heading = "Tokenizer", value_name = "BYTES", default_value_t = DEFAULT_TRAIN_TEXT_BYTES,
          value_parser = clap::value_parser!(u64).range(1..=DEFAULT_TRAIN_TEXT_BYTES))]
    max_text_bytes: u64,
    #[command(flatten)]
    overwrite: Overwrite,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Train(args) => train(args),
        Command::Info(args) => info(&args),
    }
}

fn info(args: &InfoArgs) -> Result<()> {
    let tokenizer = Tokenizer::open(&args.tokenizer)?;
    let (fingerprint, n_ids) = (tokenizer.fingerprint(), tokenizer.vocab_size());
    if args.json.is_asked {
        let facts = serde_json::json!({ "fingerprint": fingerprint, "n_ids": n_ids });
        return Ok(print::json(&facts, true)?);
    }
    out!("{:<12} {n_ids}", "ids");
    out!("{:<12} {fingerprint}", "tokenizer");
    Ok(())
}

fn train(args: TrainArgs) -> Result<()> {
    args.inputs.check_output(&args.output)?;
    let interrupt = crate::common::signals::interrupt()?;
    let output = TokenizerOutput::create(&args.output, args.overwrite.overwrite)?;
    let opened = args.inputs.open(&interrupt, None)?;
    let options = TrainOptions {
        vocab_size: args.vocab_size,
        special_tokens: args.special.clone(),
        max_text_bytes: args.max_text_bytes,
    };
    let bytes_total = opened.documents.bytes_total();
    let progress = Progress::new(bytes_total);
    let trained = train_bpe(opened.documents, &options, |now| {
        let read = EncodeProgress {
            bytes_read: now.bytes_read,
            bytes_total,
            n_documents: now.n_documents,
            n_tokens: 0,
        };
        match now.is_reading {
            true => progress.show(&read),
            false => progress.show_phase(&read, "learning merges"),
        }
    })?;
    progress.finish();
    let tokenizer = Tokenizer::from_bytes(trained.json.as_bytes(), &args.output)?;
    output.publish(&trained)?;
    summarize(&args, &trained, &tokenizer, progress.seconds())?;
    print_notes(&opened.left_out, &trained.tally);
    Ok(())
}

fn summarize(
    args: &TrainArgs,
    trained: &TrainedTokenizer,
    tokenizer: &Tokenizer,
    seconds: f64,
) -> Result<()> {
    let got = tokenizer.vocab_size();
    if got < args.vocab_size {
        say!("note: the text has enough pairs to merge for only {got} ids");
    }
    if trained.stopped_early {
        say!(
            "note: documents past --max-text-bytes {} were not read",
            args.max_text_bytes
        );
    }
    let special: Vec<_> = (0..got).filter(|&id| tokenizer.is_special(id)).collect();
    let special = special
        .iter()
        .map(|&id| format!("{id} `{}`", tokenizer.token_text(id)));
    if args.json.is_asked {
        let facts = serde_json::json!({
            "output": args.output.display().to_string(),
            "fingerprint": tokenizer.fingerprint(),
            "n_ids": got,
            "n_documents": trained.n_documents,
            "n_text_bytes": trained.n_text_bytes,
            "seconds": seconds,
        });
        return Ok(print::json(&facts, true)?);
    }
    let lines = [
        ("documents", trained.n_documents.to_string()),
        ("text", format!("{} bytes", trained.n_text_bytes)),
        ("ids", got.to_string()),
        ("special", special.collect::<Vec<_>>().join(", ")),
        ("tokenizer", tokenizer.fingerprint()),
        ("time", format!("{seconds:.1} s")),
        ("output", args.output.display().to_string()),
    ];
    for (name, value) in lines {
        out!("{name:<12} {value}");
    }
    Ok(())
}
