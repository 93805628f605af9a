//! `saltworks-train eval`.

mod labelled;
mod probe;

use super::opened::{ModelArgs, OpenedModel, check_memory, pool};
use crate::common::arguments::{Json, SPEED, Threads};
use crate::common::exit::Result;
use crate::common::print::{self, out, say};
use crate::common::progress::{BYTES, Display};
use rayon::ThreadPool;
use saltworks::corpus::{CorpusOptions, DEFAULT_TEXT_FIELD, Documents, expand_inputs};
use saltworks::interrupt::Interrupt;
use saltworks::tokens::{
    Dtype, EodPosition, OpenOptions, Packing, SequenceView, SpecialChoice, TokenCorpus,
    TokenFormat, ViewOptions,
};
use saltworks::train::eval::{
    DEFAULT_BATCH_POSITIONS, EvalOptions, EvalProgress, EvalReport, Score, TextCorpus, TextOptions,
    check_tokens, evaluate, evaluation_capacity, evenly_spaced, text_bytes_of_ids,
};
use saltworks::train::model::Network;
use saltworks::train::run::corpus_identity;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Longest default T, positions: attention costs T a position, and models are for ever more.
const MAX_DEFAULT_SEQ_LEN: usize = 2048;

const EXAMPLES: &str = "\
Examples:
  saltworks-train eval --model runs/llm --tokens held-out
  saltworks-train eval --model runs/llm --text held-out.jsonl --by source
  saltworks-train eval --model runs/llm --labels labels --json
  saltworks-train eval --model runs/llm --probe copy";

/// Evaluate a model on a token corpus or on text (NLL, perplexity, bits per byte, calibration),
/// compare it with its teacher on labels, or probe how well it copies from its context.
#[derive(clap::Args)]
#[command(group(clap::ArgGroup::new("input").required(true).args(["tokens", "text", "labels", "probe"])))]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    model: ModelArgs,

    /// Token corpus: a directory of `saltworks tokenize`, a Megatron .bin/.idx pair, nanoGPT or
    /// llm.c .bin, Parquet with `input_ids`.
    #[arg(long, help_heading = "Tokens", value_name = "PATH|URL")]
    tokens: Option<PathBuf>,

    /// Format of the tokens, if the file does not show it.
    #[arg(long, help_heading = "Tokens", value_name = "FORMAT", requires = "tokens", conflicts_with_all = ["text", "labels", "probe"])]
    tokens_format: Option<TokenFormat>,

    /// Type of the ids in a token file without a header. Default: u16; refused if the ids look wider.
    #[arg(long, help_heading = "Tokens", value_name = "TYPE", requires = "tokens", conflicts_with_all = ["text", "labels", "probe"])]
    dtype: Option<Dtype>,

    #[command(flatten)]
    text: TextArgs,

    #[command(flatten)]
    labels: labelled::LabelArgs,

    #[command(flatten)]
    probe: probe::ProbeArgs,

    /// How documents become sequences: concat (one after the other, attention across boundaries) or
    /// document (each cut by itself). Default: concat for --tokens, document for --text.
    #[arg(long, help_heading = "Sequences", value_name = "PACKING")]
    packing: Option<Packing>,

    /// Sequence length T: predicted positions per sequence. Default: the model's maximum, but at
    /// most 2048.
    #[arg(long, help_heading = "Sequences", value_name = "T")]
    seq_len: Option<u32>,

    /// Id before every sequence.
    #[arg(long, help_heading = "Sequences", value_name = "ID")]
    sequence_bos: Option<u32>,

    /// Id after every document of --text (auto: as in `saltworks tokenize`). For raw --tokens,
    /// which record no document boundaries: the id that separates documents.
    #[arg(
        long,
        help_heading = "Tokens",
        value_name = "TOKEN|ID|auto|none",
        default_value_t
    )]
    eod: SpecialChoice,

    /// Position of that id in raw --tokens: front or back of each document. Default: inferred from the
    /// two ends of the file.
    #[arg(long, help_heading = "Tokens", value_name = "POSITION", requires = "tokens", conflicts_with_all = ["text", "labels", "probe"])]
    eod_position: Option<EodPosition>,

    /// Only N sequences of --tokens, evenly spread.
    #[arg(long, help_heading = "Sequences", value_name = "N", conflicts_with = "text", value_parser = clap::value_parser!(u64).range(1..))]
    max_sequences: Option<u64>,

    /// Positions per forward pass (affects only speed and memory).
    #[arg(long, help_heading = SPEED, value_name = "N", default_value_t = DEFAULT_BATCH_POSITIONS)]
    batch_tokens: usize,

    #[command(flatten)]
    threads: Threads,

    #[command(flatten)]
    json: Json,
}

/// Text to evaluate on.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Text")]
struct TextArgs {
    /// Text instead of tokens: files, directories or globs of JSON lines, text (plain, .gz, .zst, .xz,
    /// .bz2 or .lz4) or Parquet, encoded with the model's tokenizer.
    #[arg(long, value_name = "PATH|URL", num_args = 1..)]
    text: Vec<std::ffi::OsString>,

    /// JSON field or Parquet column with the text.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_TEXT_FIELD)]
    text_field: String,

    /// Skip and count lines that are not documents, instead of stopping at the first.
    #[arg(long)]
    skip_bad_lines: bool,

    /// Separator between documents within one text, such as <|endoftext|>; white space around
    /// documents is removed.
    #[arg(
        long,
        value_name = "STRING",
        requires = "text", conflicts_with_all = ["tokens", "labels", "probe"],
        allow_hyphen_values = true
    )]
    split_on: Option<String>,

    /// Id before every document; auto: the ids that the tokenizer's post-processor adds before a
    /// text.
    #[arg(long, value_name = "TOKEN|ID|auto|none", default_value_t)]
    bos: SpecialChoice,

    /// Group documents by the value of this JSON field or Parquet column, and score each group.
    #[arg(long, value_name = "FIELD", requires = "text", conflicts_with_all = ["tokens", "labels", "probe"])]
    by: Option<String>,

    /// Use only the part of that value before this text: with / an id such as poem/13 counts as
    /// poem.
    #[arg(
        long,
        value_name = "STRING",
        requires = "by",
        allow_hyphen_values = true
    )]
    by_until: Option<String>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let (opened, params) = args.model.open()?;
    let interrupt = crate::common::signals::interrupt()?;
    if let Some(dir) = &args.labels.labels {
        return labelled::run(&args, dir, &opened, params, &interrupt);
    }
    if args.probe.probe.is_some() {
        return probe::run(&args, &opened, params, &interrupt);
    }
    let pool = pool(args.threads.threads)?;
    let input = pool.install(|| args.open_input(&opened, &interrupt))?;
    let view = SequenceView::new(input.tokens(), args.view_options(&opened))?;
    let seq_ids = evenly_spaced(view.len(), args.max_sequences.unwrap_or(u64::MAX));
    let bytes = input.bytes(&view, &opened);
    let n_threads = pool.current_num_threads();
    let capacity = evaluation_capacity(&opened.spec, &view, args.batch_tokens, n_threads)?;
    let remedy = "lower --batch-tokens or --seq-len";
    check_memory(&opened.spec, &capacity, remedy)?;
    let options = EvalOptions {
        groups: input.groups(),
        bytes_of_ids: bytes.of_ids.as_deref(),
        text_bytes: bytes.of_text.as_deref(),
    };
    let mut network = Network::new(params, capacity);
    let report = shown(&pool, view.n_targets(), &interrupt, |on_progress| {
        evaluate(&mut network, &view, seq_ids, &options, on_progress)
    })?;
    print(&args, &opened, &view, &report)
}

/// What is told how far an evaluation is, and says whether to continue.
type OnProgress<'a> = &'a (dyn Fn(&EvalProgress) -> ControlFlow<()> + Sync);

/// Runs `work`, of `n_targets` at most, in `pool`, and shows how far it is.
fn shown<R: Send, E: Send>(
    pool: &ThreadPool,
    n_targets: u64,
    interrupt: &Interrupt,
    work: impl FnOnce(OnProgress<'_>) -> Result<R, E> + Send,
) -> Result<R, E> {
    let display = Display::new(n_targets, "tokens");
    let on_progress = |now: &EvalProgress| {
        display.at(now.n_targets);
        interrupt.flow()
    };
    let report = pool.install(|| work(&on_progress))?;
    display.finish();
    Ok(report)
}

/// What is evaluated.
enum Input {
    Tokens(Box<TokenCorpus>),
    Text(Box<TextCorpus>),
}

/// What is known of the bytes of predicted text.
#[derive(Default)]
struct TextBytes {
    of_ids: Option<Vec<u32>>,
    of_text: Option<Vec<u64>>,
}

impl Input {
    fn tokens(&self) -> &TokenCorpus {
        match self {
            Input::Tokens(tokens) => tokens,
            Input::Text(text) => &text.tokens,
        }
    }

    fn groups(&self) -> Option<&saltworks::train::eval::DocumentGroups> {
        match self {
            Input::Tokens(_) => None,
            Input::Text(text) => text.groups.as_ref(),
        }
    }

    fn bytes(&self, view: &SequenceView<'_>, opened: &OpenedModel) -> TextBytes {
        let options = view.options();
        let by_document = options.packing == Packing::Document;
        let vocab_size = opened.spec.vocab_size;
        match (self, &opened.tokenizer) {
            (Input::Text(text), _) => TextBytes {
                of_text: Some(text.predicted_bytes(by_document, options.sequence_bos.is_some())),
                ..TextBytes::default()
            },
            (Input::Tokens(_), Some((tokenizer, _))) => TextBytes {
                of_ids: Some(text_bytes_of_ids(tokenizer, vocab_size)),
                ..TextBytes::default()
            },
            (Input::Tokens(_), None) => TextBytes::default(),
        }
    }
}

impl Args {
    fn open_input(&self, opened: &OpenedModel, interrupt: &Interrupt) -> Result<Input> {
        let Some(path) = &self.tokens else {
            return Ok(Input::Text(Box::new(self.open_text(opened, interrupt)?)));
        };
        let options = OpenOptions {
            format: self.tokens_format,
            dtype: self.dtype,
            eod: self.splitting_id(opened)?,
            eod_position: self.eod_position,
        };
        let corpus = TokenCorpus::open(path, &options)?;
        print::notes(corpus.notes());
        let tokenizer = opened.tokenizer.as_ref();
        let tokenizer = tokenizer.map(|(tokenizer, path)| (tokenizer, path.as_path()));
        check_tokens(&opened.spec, &corpus, tokenizer)?;
        let seen = opened.seen(&corpus_identity(&corpus)?);
        if let Some(seen) = seen {
            say!("note: {}", seen.note(&path.display().to_string()));
        }
        if tokenizer.is_none() {
            say!(
                "note: without a tokenizer.json, bits per byte cannot be computed; pass one with --tokenizer"
            );
        }
        Ok(Input::Tokens(Box::new(corpus)))
    }

    /// The id that splits raw token files.
    fn splitting_id(&self, opened: &OpenedModel) -> Result<Option<u32>> {
        match &self.eod {
            SpecialChoice::Auto | SpecialChoice::None => Ok(None),
            SpecialChoice::Id(id) => Ok(Some(*id)),
            SpecialChoice::Token(_) => Ok(self
                .eod
                .resolve_eod(opened.require_tokenizer()?.0)?
                .last()
                .copied()),
        }
    }

    fn open_text(&self, opened: &OpenedModel, interrupt: &Interrupt) -> Result<TextCorpus> {
        let (tokenizer, _) = opened.require_tokenizer()?;
        let reading = CorpusOptions {
            text_field: self.text.text_field.clone(),
            skip_bad_lines: self.text.skip_bad_lines,
            group_field: self.text.by.clone(),
            ..CorpusOptions::default()
        };
        let options = TextOptions {
            bos: self.text.bos.resolve_bos(tokenizer)?,
            eod: self.eod.resolve_eod(tokenizer)?,
            split_on: self.text.split_on.clone(),
            group_by: self.text.by.clone(),
            group_until: self.text.by_until.clone(),
        };
        let (bos, eod) = (&options.bos, &options.eod);
        let (bos, eod) = (tokenizer.describe(bos), tokenizer.describe(eod));
        say!("bos {bos}; eod {eod}");
        let files = expand_inputs(&self.text.text, None)?;
        print::notes(files.left_out.notes());
        let documents = Documents::open(files.paths, reading)?.with_interrupt(interrupt);
        let display = Display::new(documents.bytes_total(), BYTES);
        let text = TextCorpus::create(documents, tokenizer, &options, |bytes_read| {
            display.at(bytes_read);
            interrupt.flow()
        })?;
        display.finish();
        Ok(text)
    }

    fn view_options(&self, opened: &OpenedModel) -> ViewOptions {
        let seq_len = opened.spec.max_seq_len.min(MAX_DEFAULT_SEQ_LEN) as u32;
        let packing = match self.tokens {
            Some(_) => Packing::Concat,
            None => Packing::Document,
        };
        ViewOptions {
            packing: self.packing.unwrap_or(packing),
            seq_len: self.seq_len.unwrap_or(seq_len),
            sequence_bos: self.sequence_bos,
        }
    }
}

fn print(
    args: &Args,
    opened: &OpenedModel,
    view: &SequenceView<'_>,
    report: &EvalReport,
) -> Result<()> {
    let options = view.options();
    if args.json.is_asked {
        let mut json = serde_json::to_value(report).expect("plain fields");
        json["model"] = opened.place.display().to_string().into();
        json["packing"] = serde_json::to_value(options.packing).expect("plain fields");
        json["seq_len"] = options.seq_len.into();
        json["sequence_bos"] = options.sequence_bos.into();
        print::json(&json, false)?;
        return Ok(());
    }
    out!("model        {}", opened.place.display());
    out!(
        "sequences    {} of up to {} positions, {} packing",
        report.n_sequences,
        options.seq_len,
        serde_json::to_value(options.packing)
            .expect("plain fields")
            .as_str()
            .unwrap_or_default()
    );
    print_score(&report.score);
    print_calibration(report.accuracy, report.ece);
    if !report.by_kind.is_empty() {
        print_kinds(report);
    }
    Ok(())
}

fn print_score(score: &Score) {
    out!("targets      {}", score.n_targets);
    out!("mean NLL     {} nats", number(score.mean_nll_nats));
    out!("perplexity   {}", number(score.perplexity));
    if let Some(n_bytes) = score.n_bytes {
        out!(
            "bits/byte    {} over {n_bytes} bytes",
            number(score.bits_per_byte)
        );
    }
}

/// How often the best id is right, and how far its probability is from that.
fn print_calibration(accuracy: Option<f64>, ece: Option<f64>) {
    out!("accuracy     {}", number(accuracy));
    out!("ECE          {}", number(ece));
}

fn print_kinds(report: &EvalReport) {
    let width = report
        .by_kind
        .iter()
        .map(|group| group.kind.chars().count())
        .max();
    let width = width.unwrap_or(0).max("kind".len());
    out!();
    out!(
        "{:<width$}  {:>10}  {:>8}  {:>10}  {:>9}",
        "kind",
        "targets",
        "mean NLL",
        "perplexity",
        "bits/byte"
    );
    for group in &report.by_kind {
        out!(
            "{:<width$}  {:>10}  {:>8}  {:>10}  {:>9}",
            group.kind,
            group.score.n_targets,
            number(group.score.mean_nll_nats),
            number(group.score.perplexity),
            number(group.score.bits_per_byte)
        );
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}
