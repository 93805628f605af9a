//! `saltworks select`: which sequences stage 1 sees, or which documents are kept.

mod documents;
mod preview;
mod score;

use crate::common::arguments::{Json, OUTPUT};
use crate::common::exit::Result;
use crate::common::print::{self, out, say};
use crate::common::progress::Display;
use crate::common::signals;
use crate::terminal;
use clap::ValueEnum;
use preview::Preview;
use saltworks::select::{Amount, Join, Order, Per, Policy, SelectError, Summary, select};
use saltworks::shards::{LabelSet, Plan, ScoreId};
use saltworks::storage::check_apart;
use saltworks::view::render_selection;
use score::AnyScore;
use serde::Serialize;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  saltworks select labels --fraction 0.25 --output selection.parquet
  saltworks select labels --policy random --rows 1000 --output random.parquet
  saltworks select labels --by document --policy bottom --fraction 0.5 --per source --output documents.parquet
  saltworks select labels-small --by document --minus labels-large --fraction 0.5 --output documents.parquet";

/// Select the sequences for stage 1, or documents of the corpus, by their scores.
///
/// Reads only the score columns of a label set, so a set made with `label --groups scores` is
/// enough, for example by an early checkpoint of the teacher. Writes a Parquet file (seq_id, score,
/// rank, kept) for the trainer's `data.selection` and for `label --selection`. Sequences without a
/// score are never kept.
///
/// With `--by document`, reads the documents/ of a label set instead, and writes all documents with
/// their scores and whether they are kept.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory of labels, or its URL.
    #[arg(value_name = "LABELS|URL")]
    labels: PathBuf,
    /// The selection to write; an existing selection is replaced.
    #[arg(long, help_heading = OUTPUT, short, value_name = "FILE|URL")]
    output: PathBuf,
    /// What to select.
    #[arg(long, help_heading = "Policy", value_enum, default_value = "sequence")]
    by: By,
    /// Which sequences, or documents, to keep first.
    #[arg(long, help_heading = "Policy", value_enum, default_value = "top")]
    policy: PolicyName,
    /// The score that the policy uses. Those that begin with score_ are of sequences, the others of
    /// documents. Default: score_salt; by document bits_per_byte.
    #[arg(long, help_heading = "Policy", value_enum)]
    score: Option<AnyScore>,
    #[command(flatten)]
    amount: AmountArgs,
    /// Drop sequences, or documents, with a smaller fraction of learnable positions (target_rank < k) than
    /// this.
    #[arg(long, help_heading = "Policy", value_name = "FRACTION")]
    min_learnable: Option<f64>,
    /// Seed of `random` and `weighted`.
    #[arg(long, help_heading = "Policy", default_value_t = 0)]
    seed: u64,
    /// Temperature of `weighted`, in units of the score: the sampling weight is exp(score /
    /// temperature).
    #[arg(long, help_heading = "Policy", value_name = "T", default_value_t = 1.0)]
    temperature: f64,
    /// Subtract the scores of these labels of the same sequences. For MiniPLM's difference, LABELS is by
    /// a small reference model and this set by the teacher, with `--score score_mean_nll`. By document,
    /// the two models may have different tokenizers.
    #[arg(long, help_heading = "Policy", value_name = "LABELS|URL")]
    minus: Option<PathBuf>,
    /// Documents only: rank each input file of the corpus separately, and keep the amount from
    /// each.
    #[arg(long, help_heading = "Policy", value_enum)]
    per: Option<Per>,
    /// Documents only: how they are found in --minus. Default: index if both sets label the same
    /// token corpus, else id.
    #[arg(long, help_heading = "Policy", value_enum, requires = "minus")]
    join: Option<Join>,
    /// Print the beginnings of the hardest kept sequences, of some near the median, and of the
    /// least learnable.
    #[arg(long, help_heading = "Preview")]
    preview: bool,
    /// The token corpus, needed for a preview if the set has only scores.
    #[arg(
        long,
        help_heading = "Preview",
        value_name = "PATH|URL",
        requires = "preview"
    )]
    tokens: Option<PathBuf>,
    /// The tokenizer.json that the tokens were made with. Default: the one next to plan.json;
    /// without one, a preview shows ids.
    #[arg(
        long,
        help_heading = "Preview",
        value_name = "FILE|URL",
        requires = "preview"
    )]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

/// How much to keep.
#[derive(clap::Args)]
#[group(required = true, multiple = false)]
#[command(next_help_heading = "Amount (one of these)")]
struct AmountArgs {
    /// Keep this fraction of all sequences, or documents, such as 0.25.
    #[arg(long, value_name = "FRACTION")]
    fraction: Option<f64>,
    /// Keep this many sequences, or documents.
    #[arg(long, value_name = "N")]
    rows: Option<u64>,
    /// Keep sequences with at most this many predicted positions in total, or documents with at most this
    /// many tokens.
    #[arg(long, value_name = "N")]
    token_budget: Option<u64>,
}

/// What is selected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    /// Sequences, for the trainer and for `label --selection`.
    Sequence,
    /// Documents of the corpus.
    Document,
}

/// A policy by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum PolicyName {
    /// The highest scores.
    Top,
    /// The lowest scores.
    Bottom,
    /// The scores nearest to the median.
    Middle,
    /// Random sequences, regardless of their score: the control.
    Random,
    /// Random sequences, weighted by score with a temperature.
    Weighted,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report<'a, S> {
    output: &'a PathBuf,
    #[serde(flatten)]
    summary: &'a S,
    #[serde(skip_serializing_if = "Option::is_none")]
    preview: Option<&'a Preview>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    signals::end_on_signal()?;
    for labels in std::iter::once(&args.labels).chain(&args.minus) {
        check_apart(&args.output, labels)?;
    }
    let labels = LabelSet::open(&args.labels)?;
    let minus = args.minus.as_deref().map(LabelSet::open).transpose()?;
    if let Some(minus) = &minus {
        note_one_teacher(&labels, minus);
    }
    if args.by == By::Document {
        return documents::run(&args, &labels, minus.as_ref());
    }
    let policy = args.policy()?;
    let source = preview::Source::open(&args, &labels)?;
    let summary = select_with_progress(&args, &policy, &labels, minus.as_ref())?;
    let preview = source
        .map(|source| source.preview(&labels, &summary.examples))
        .transpose()?;
    if args.json.is_asked {
        let report = Report {
            output: &args.output,
            summary: &summary,
            preview: preview.as_ref(),
        };
        print::json(&report, true)?;
        return Ok(());
    }
    let mut text = render_selection(&summary, terminal::width());
    text += &preview.map_or_else(String::new, |preview| preview.render());
    print::styled(&text);
    out!();
    out!("written to {}", args.output.display());
    Ok(())
}

/// The difference of a set to itself, through an exported copy or a wrong directory, is useless.
fn note_one_teacher(labels: &LabelSet, minus: &LabelSet) {
    let teacher = |set: &LabelSet| set.segments[0].teacher.fingerprint.clone();
    if teacher(labels) == teacher(minus) {
        say!(
            "note: {} and {} were made by the same teacher: every difference of their scores is 0",
            labels.dir.display(),
            minus.dir.display()
        );
    }
}

fn select_with_progress(
    args: &Args,
    policy: &Policy,
    labels: &LabelSet,
    minus: Option<&LabelSet>,
) -> Result<Summary> {
    let sets = std::iter::once(labels).chain(minus);
    let plans = sets.flat_map(|set| &set.segments);
    let display = Display::new(plans.map(Plan::n_sequences).sum(), "rows");
    let mut n_done = 0;
    let summary = select(labels, minus, policy, &args.output, |n_rows| {
        n_done += n_rows;
        display.at(n_done);
    });
    display.finish();
    Ok(summary?)
}

impl Args {
    fn policy(&self) -> Result<Policy, SelectError> {
        if self.per.is_some() || self.join.is_some() {
            return Err(SelectError::Policy {
                what: "--by",
                expected: "document, which --per and --join need",
                got: "sequence".to_owned(),
            });
        }
        let score = self.score.map(AnyScore::of_sequence).transpose()?;
        Ok(Policy {
            order: self.order(),
            score: score.unwrap_or(ScoreId::Salt),
            amount: self.amount(),
            min_learnable: self.min_learnable,
        })
    }

    fn order(&self) -> Order {
        let seed = self.seed;
        match self.policy {
            PolicyName::Top => Order::Top,
            PolicyName::Bottom => Order::Bottom,
            PolicyName::Middle => Order::Middle,
            PolicyName::Random => Order::Random { seed },
            PolicyName::Weighted => Order::Weighted {
                temperature: self.temperature,
                seed,
            },
        }
    }

    fn amount(&self) -> Amount {
        let AmountArgs {
            fraction,
            rows,
            token_budget,
        } = self.amount;
        let amount = fraction
            .map(Amount::Fraction)
            .or(rows.map(Amount::Rows))
            .or(token_budget.map(Amount::Tokens));
        amount.expect("clap requires one of the three")
    }
}
