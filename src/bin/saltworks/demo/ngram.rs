//! Only labels, by a teacher that is counted rather than trained.

use super::{Args, claim};
use crate::common::exit::Result;
use crate::common::print::out;
use crate::common::signals;
use crate::progress::{ProgressDisplay, show_graph};
use saltworks::corpus::{CorpusOptions, Documents};
use saltworks::demo::{
    CorpusSettings, CorpusSummary, DemoError, NgramTeacher, unigram_entropy, write_corpus,
    write_teacher,
};
use saltworks::label::{self, LabelOptions, Observer};
use saltworks::shards::LabelSet;
use saltworks::storage::{self, Partial, StorageError};
use saltworks::tokens::{
    CorpusJson, CorpusWriter, DEFAULT_TRAIN_TEXT_BYTES, END_OF_TEXT, EncodeOptions, OpenOptions,
    TokenCorpus, Tokenizer, TrainOptions, WriterSettings, encode_documents, train_bpe,
};
use saltworks::view::collect_stats;
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Small, so that the teacher's tables are: about 18 MB of ONNX.
const VOCAB_SIZE: u32 = 1024;
const N_STATES_MAX: usize = 3300;
/// T of the demo's labels.
const SEQ_LEN: u32 = 256;
/// K of the demo's labels.
const TOP_K: u32 = 32;

/// Megabytes of text, unless said otherwise.
const DEFAULT_MEGABYTES: u64 = 3;

/// Where everything goes.
struct Layout {
    corpus: PathBuf,
    tokenizer: PathBuf,
    tokens: PathBuf,
    teacher: PathBuf,
    labels: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<()> {
    if !args.corpus.is_empty() || args.quick {
        return Err(DemoError::OnlyGenerated.into());
    }
    let megabytes = args.megabytes.unwrap_or(DEFAULT_MEGABYTES);
    let settings =
        serde_json::json!({ "teacher": "ngram", "megabytes": megabytes, "seed": args.seed });
    claim(&args.output, &settings)?;
    let layout = Layout::in_dir(&args.output);
    generate(args.seed, megabytes, &layout)?;
    let tokenizer = train_tokenizer(&layout)?;
    tokenize(&tokenizer, &layout)?;
    fit_teacher(&tokenizer, &layout)?;
    label(&layout)?;
    summarise(&layout)?;
    print_next_steps(&layout);
    Ok(())
}

impl Layout {
    fn in_dir(dir: &Path) -> Self {
        Layout {
            corpus: dir.join("corpus.jsonl"),
            tokenizer: dir.join("tokenizer.json"),
            tokens: dir.join("tokens"),
            teacher: dir.join("teacher.onnx"),
            labels: dir.join("labels"),
        }
    }
}

fn generate(seed: u64, megabytes: u64, layout: &Layout) -> Result<()> {
    let settings = CorpusSettings {
        seed,
        n_text_bytes: megabytes * 1_000_000,
    };
    let mut out = BufWriter::new(Partial::create(&layout.corpus)?);
    let CorpusSummary {
        n_documents,
        n_text_bytes,
    } = write_corpus(&mut out, &settings)?;
    let written = out.into_inner();
    let written =
        written.map_err(|error| StorageError::io("write", &layout.corpus, error.into_error()))?;
    // An existing one has the same bytes, since they depend only on the settings.
    written.seal()?.publish()?;
    let megabytes = n_text_bytes as f64 / 1e6;
    done(
        "corpus",
        &layout.corpus,
        &format!("{n_documents} documents, {megabytes:.1} MB of text"),
    );
    Ok(())
}

fn train_tokenizer(layout: &Layout) -> Result<Tokenizer> {
    let options = TrainOptions {
        vocab_size: VOCAB_SIZE,
        special_tokens: vec![END_OF_TEXT.to_owned()],
        max_text_bytes: DEFAULT_TRAIN_TEXT_BYTES,
    };
    let trained = train_bpe(documents(layout)?, &options, |_| {})?;
    storage::replace(&layout.tokenizer, trained.json.as_bytes())?;
    let tokenizer = Tokenizer::open(&layout.tokenizer)?;
    let what = format!("byte-level BPE, {} ids", tokenizer.vocab_size());
    done("tokenizer", &layout.tokenizer, &what);
    Ok(tokenizer)
}

fn tokenize(tokenizer: &Tokenizer, layout: &Layout) -> Result<()> {
    let options = EncodeOptions {
        eod: tokenizer.token_id(END_OF_TEXT).into_iter().collect(),
        ..EncodeOptions::default()
    };
    let settings = WriterSettings {
        eod: options.eod.clone(),
        overwrite: true,
        ..WriterSettings::default()
    };
    let mut writer = CorpusWriter::create(&layout.tokens, tokenizer, settings)?;
    let tally = encode_documents(documents(layout)?, tokenizer, &options, &mut writer, |_| {
        ControlFlow::Continue(())
    })?;
    let CorpusJson {
        n_tokens,
        n_text_bytes,
        ..
    } = writer.finish(tally)?;
    let bytes_each = n_text_bytes as f64 / n_tokens as f64;
    done(
        "tokens",
        &layout.tokens,
        &format!("{n_tokens} tokens, {bytes_each:.2} bytes of text each"),
    );
    Ok(())
}

fn fit_teacher(tokenizer: &Tokenizer, layout: &Layout) -> Result<()> {
    let corpus = TokenCorpus::open(&layout.tokens, &OpenOptions::default())?;
    let n_tokens = usize::try_from(corpus.n_tokens()).expect("a mapped file fits");
    let mut tokens = vec![0; n_tokens];
    corpus.copy_tokens(0, &mut tokens)?;
    let vocab_size = tokenizer.vocab_size() as usize;
    let teacher = NgramTeacher::fit(&tokens, vocab_size, N_STATES_MAX)?;
    write_teacher(&teacher, &layout.teacher)?;
    let what = format!(
        "trigram, {} states; {:.3} nats/token, a unigram model {:.3}",
        teacher.n_states(),
        teacher.mean_nll(&tokens),
        unigram_entropy(&tokens, vocab_size)
    );
    done("teacher", &layout.teacher, &what);
    Ok(())
}

fn label(layout: &Layout) -> Result<()> {
    let options = LabelOptions {
        teacher: Some(layout.teacher.clone()),
        tokens: Some(layout.tokens.clone()),
        output: Some(layout.labels.clone()),
        seq_len: Some(SEQ_LEN),
        top_k: TOP_K,
        ..LabelOptions::default()
    };
    let display = ProgressDisplay::new();
    let observer = Observer {
        on_graph: &show_graph,
        on_start: &|inputs, _| {
            let runtime = &inputs.runtime;
            let what = format!("ONNX Runtime {}", runtime.version);
            done("runtime", &runtime.path, &what);
        },
        on_progress: &|snapshot| display.show(snapshot),
    };
    let interrupt = signals::interrupt()?;
    let outcome = label::label(&options.resolve()?, &interrupt, &observer)?;
    let what = match outcome.n_made {
        0 => "labelled already".to_owned(),
        _ => format!(
            "{} sequences, {:.0} tokens/s",
            outcome.plan.n_sequences(),
            outcome.tokens_per_s
        ),
    };
    done("labels", &layout.labels, &what);
    Ok(())
}

/// A summary of the labels in one line; `saltworks stats` prints the rest.
fn summarise(layout: &Layout) -> Result<()> {
    let stats = collect_stats(&LabelSet::open(&layout.labels)?, 1, |_| {})?;
    let means: Vec<String> = stats
        .labels
        .positions
        .iter()
        .map(|each| format!("{} {:.3}", each.name, each.summary.mean))
        .collect();
    let what = format!(
        "{} targets, {:.1} bytes each; means: {}",
        stats.labels.n_targets,
        stats.bytes_per_target,
        means.join(", ")
    );
    done("stats", &layout.labels, &what);
    Ok(())
}

fn documents(layout: &Layout) -> Result<Documents> {
    Ok(Documents::open(
        vec![layout.corpus.clone()],
        CorpusOptions::default(),
    )?)
}

/// One line per stage.
fn done(stage: &str, path: &Path, what: &str) {
    out!("{stage:<10} {:<24} {what}", path.display());
}

fn print_next_steps(layout: &Layout) {
    let labels = layout.labels.display();
    out!();
    out!("To read the labels with any Parquet reader, for example DuckDB:");
    out!();
    out!(
        "  SELECT seq_id, n_targets, round(score_salt, 3) AS score_salt, round(score_mean_nll, 3) AS mean_nll"
    );
    out!("  FROM '{labels}/scores/*.parquet' ORDER BY score_salt DESC LIMIT 5;");
    out!();
    out!("To look at a row:");
    out!();
    out!(
        "  saltworks inspect {labels} --tokenizer {} --row 0",
        layout.tokenizer.display()
    );
}
