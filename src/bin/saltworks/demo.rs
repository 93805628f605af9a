//! `saltworks demo`: everything from nothing, in one directory.

use anyhow::Context;
use saltworks::corpus::{CorpusOptions, Documents};
use saltworks::demo::{
    CorpusSettings, CorpusSummary, DemoError, NgramTeacher, unigram_entropy, write_corpus,
    write_teacher,
};
use saltworks::label::{self, Interrupt, LabelOptions};
use saltworks::shards::LabelSet;
use saltworks::storage::{self, Partial};
use saltworks::tokens::{
    CorpusJson, CorpusWriter, DEFAULT_TRAIN_TEXT_BYTES, END_OF_TEXT, EncodeOptions, OpenOptions,
    TokenCorpus, Tokenizer, TrainOptions, encode_documents, train_bpe,
};
use saltworks::view::collect_stats;
use std::io::{BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Small, so that the teacher's tables are: about 18 MB of ONNX.
const VOCAB_SIZE: u32 = 1024;
const N_STATES_MAX: usize = 3300;
/// T of the demo's labels.
const SEQ_LEN: u32 = 256;
/// K of the demo's labels.
const TOP_K: u32 = 32;

/// Generate the embedded default corpus and teacher, and label it.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Directory for the corpus, tokenizer, tokens, teacher and labels; made if it is not there.
    #[arg(long, value_name = "DIR")]
    output: PathBuf,
    /// Another seed is another language and other stories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Megabytes of text to generate.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    megabytes: u64,
}

/// Where everything goes.
struct Layout {
    settings: PathBuf,
    corpus: PathBuf,
    tokenizer: PathBuf,
    tokens: PathBuf,
    teacher: PathBuf,
    labels: PathBuf,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let layout = Layout::in_dir(&args.output);
    claim(&args, &layout)?;
    generate(&args, &layout)?;
    let tokenizer = train_tokenizer(&layout)?;
    tokenize(&tokenizer, &layout)?;
    fit_teacher(&tokenizer, &layout)?;
    label(&layout)?;
    summarise(&layout)?;
    say_what_next(&layout);
    Ok(())
}

impl Layout {
    fn in_dir(dir: &Path) -> Self {
        Layout {
            settings: dir.join("demo.json"),
            corpus: dir.join("corpus.jsonl"),
            tokenizer: dir.join("tokenizer.json"),
            tokens: dir.join("tokens"),
            teacher: dir.join("teacher.onnx"),
            labels: dir.join("labels"),
        }
    }
}

/// Marks the directory as this demo's. One with other content is left alone.
fn claim(args: &Args, layout: &Layout) -> anyhow::Result<()> {
    let dir = &args.output;
    let settings = serde_json::json!({ "seed": args.seed, "megabytes": args.megabytes });
    let settings = format!("{settings:#}\n");
    match std::fs::read_to_string(&layout.settings) {
        Ok(there) if there == settings => return Ok(()),
        Ok(_) => return Err(DemoError::OtherDemo { dir: dir.clone() }.into()),
        Err(_) => {}
    }
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let mut entries =
        std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    if entries.next().is_some() {
        return Err(DemoError::NotADemo { dir: dir.clone() }.into());
    }
    storage::replace(&layout.settings, settings.as_bytes())?;
    Ok(())
}

fn generate(args: &Args, layout: &Layout) -> anyhow::Result<()> {
    let settings = CorpusSettings {
        seed: args.seed,
        n_text_bytes: args.megabytes * 1_000_000,
    };
    let mut out = BufWriter::new(Partial::create(&layout.corpus)?);
    let CorpusSummary {
        n_documents,
        n_text_bytes,
    } = write_corpus(&mut out, &settings)?;
    out.flush()
        .with_context(|| format!("cannot write {}", layout.corpus.display()))?;
    // One that is already there has the same bytes: they are a function of the settings.
    out.into_inner()
        .context("cannot write the corpus")?
        .seal()?
        .publish()?;
    let megabytes = n_text_bytes as f64 / 1e6;
    done(
        "corpus",
        &layout.corpus,
        &format!("{n_documents} documents, {megabytes:.1} MB of text"),
    );
    Ok(())
}

fn train_tokenizer(layout: &Layout) -> anyhow::Result<Tokenizer> {
    let options = TrainOptions {
        vocab_size: VOCAB_SIZE,
        special_tokens: vec![END_OF_TEXT.to_owned()],
        max_text_bytes: DEFAULT_TRAIN_TEXT_BYTES,
    };
    let trained = train_bpe(&mut documents(layout)?, &options, |_| {})?;
    storage::replace(&layout.tokenizer, trained.json.as_bytes())?;
    let tokenizer = Tokenizer::open(&layout.tokenizer)?;
    let what = format!("byte-level BPE, {} ids", tokenizer.vocab_size());
    done("tokenizer", &layout.tokenizer, &what);
    Ok(tokenizer)
}

fn tokenize(tokenizer: &Tokenizer, layout: &Layout) -> anyhow::Result<()> {
    let eod = tokenizer.token_id(END_OF_TEXT);
    let mut writer = CorpusWriter::create(&layout.tokens, tokenizer, None, eod, true)?;
    let options = EncodeOptions {
        bos: None,
        eod,
        n_threads: 0,
    };
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

fn fit_teacher(tokenizer: &Tokenizer, layout: &Layout) -> anyhow::Result<()> {
    let corpus = TokenCorpus::open(&layout.tokens, &OpenOptions::default())?;
    let mut tokens = vec![0; usize::try_from(corpus.n_tokens())?];
    corpus.copy_tokens(0, &mut tokens);
    let vocab_size = tokenizer.vocab_size() as usize;
    let teacher = NgramTeacher::fit(&tokens, vocab_size, N_STATES_MAX)?;
    write_teacher(&teacher, &layout.teacher)?;
    let what = format!(
        "trigram, {} states; {:.3} nats a token where frequencies alone need {:.3}",
        teacher.n_states(),
        teacher.mean_nll(&tokens),
        unigram_entropy(&tokens, vocab_size)
    );
    done("teacher", &layout.teacher, &what);
    Ok(())
}

fn label(layout: &Layout) -> anyhow::Result<()> {
    let options = LabelOptions {
        teacher: Some(layout.teacher.clone()),
        tokens: Some(layout.tokens.clone()),
        output: Some(layout.labels.clone()),
        seq_len: Some(SEQ_LEN),
        top_k: Some(TOP_K),
        ..LabelOptions::default()
    };
    let outcome = label::label(&options.resolve()?, &Interrupt::new(), |inputs, _| {
        let runtime = &inputs.runtime;
        let what = format!("ONNX Runtime {}", runtime.version);
        done("runtime", &runtime.path, &what);
    })?;
    let what = match outcome.n_made {
        0 => "there already, and unharmed".to_owned(),
        _ => format!(
            "{} sequences, {:.0} tokens/s",
            outcome.plan.n_sequences(),
            outcome.tokens_per_s
        ),
    };
    done("labels", &layout.labels, &what);
    Ok(())
}

/// What the labels say, in one line; `saltworks stats` says it all.
fn summarise(layout: &Layout) -> anyhow::Result<()> {
    let stats = collect_stats(&LabelSet::open(&layout.labels)?, |_| {})?;
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

fn documents(layout: &Layout) -> anyhow::Result<Documents> {
    Ok(Documents::open(
        vec![layout.corpus.clone()],
        CorpusOptions::default(),
    )?)
}

/// One line a stage.
fn done(stage: &str, path: &Path, what: &str) {
    anstream::println!("{stage:<10} {:<24} {what}", path.display());
}

fn say_what_next(layout: &Layout) {
    let labels = layout.labels.display();
    anstream::println!(
        "\nNow read the labels with anything that reads Parquet, for instance DuckDB:\n\n  \
         SELECT seq_id, n_targets, round(score_salt, 3) AS score_salt, round(score_mean_nll, 3) AS mean_nll\n  \
         FROM '{labels}/scores/*.parquet' ORDER BY score_salt DESC LIMIT 5;\n\n\
         or look at a row:\n\n  \
         saltworks inspect {labels} --tokenizer {} --row 0",
        layout.tokenizer.display()
    );
}
