//! `saltworks plan --training`: the labels that a training run needs, what they cost, and what a
//! teacher in the training loop would cost instead.

use crate::common::exit::Result;
use crate::common::print::{self, say};
use crate::progress::show_graph;
use indicatif::{HumanBytes, HumanCount, HumanDuration};
use saltworks::config::to_table;
use saltworks::label::{self, Estimate, LabelConfig, SequenceRange};
use saltworks::storage::exists;
use saltworks::train::TrainError;
use saltworks::train::config::RunConfig;
use saltworks::train::schedule::LabelDemand;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Output directory of labels if none is given; the probe writes elsewhere.
const UNNAMED_OUTPUT: &str = "labels";

/// Costs of the labels of a training run, compared with a live teacher.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Costs {
    /// What the run wants.
    demand: LabelDemand,
    /// Sequences that labels can be made of: those of the corpus, the range or the selection.
    n_sequences_there: u64,
    /// Runs that learn from the same labels, restarts counted.
    n_runs: u64,
    /// Predicted positions that need labels.
    n_tokens: u64,
    /// Labelling speed, tokens per second, as probed.
    tokens_per_s: f64,
    /// Bytes of labels per token, as probed.
    bytes_per_token: f64,
    /// What labels cost, once for all runs.
    labels: Labels,
    /// What a live teacher costs, all runs together.
    live_teacher: LiveTeacher,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Labels {
    seconds: f64,
    bytes: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct LiveTeacher {
    /// Tokens that it runs forward on: every token of stage 1, as often as it is seen, in every run.
    n_tokens: u64,
    /// At the speed of the probe, which reduces and writes in parallel with the teacher.
    seconds: f64,
    /// Its model file and external data.
    weight_bytes: u64,
    /// Its logits of one micro-batch in f32, which the loss needs whole.
    logits_bytes: u64,
}

/// Prints what the run that `training` describes needs, by a probe of `flags`' teacher.
pub(super) fn run(training: &Path, label: super::super::label::Args, n_runs: u64) -> Result<()> {
    let config = RunConfig::read(training, &[]).map_err(TrainError::from)?;
    config.validate().map_err(TrainError::from)?;
    let demand = LabelDemand::of(&config);
    if demand.n_sequences == 0 {
        say!("note: no step of this run reads labels (kd.mode, kd.n_kd)");
    }
    let json = label.json;
    let label_config = label_config(&config, label, &demand)?;
    let estimate = label::estimate(&label_config, &show_graph)?;
    let costs = Costs::of(&config, demand, &estimate, n_runs);
    if json.print(&costs)? {
        return Ok(());
    }
    print::block(&costs.render());
    Ok(())
}

/// Keys that a training configuration's `data` and the options of labelling have in common.
const SHARED_KEYS: [&str; 10] = [
    "selection",
    "tokens",
    "tokens_format",
    "dtype",
    "eod",
    "eod_position",
    "tokenizer",
    "seq_len",
    "packing",
    "sequence_bos",
];

/// The labelling options, with omitted ones taken from the training configuration. Without a range or a
/// selection, as many sequences as the run needs.
fn label_config(
    config: &RunConfig,
    label: super::super::label::Args,
    demand: &LabelDemand,
) -> Result<LabelConfig> {
    let mut data = config.data.clone();
    data.selection = existing_selection(data.selection.as_deref());
    data.labels.get_or_insert(UNNAMED_OUTPUT.into());
    let mut below = to_table(&data)?;
    let output = below.remove("labels");
    below.retain(|key, _| SHARED_KEYS.contains(&key));
    below.extend(output.map(|output| ("output".to_owned(), output)));
    let layers = label.configuration.layers()?.over(below);
    let mut label_config = label.options.over_layers(layers)?.resolve()?;
    if label_config.range == SequenceRange::All && label_config.options.selection.is_none() {
        label_config.range = SequenceRange::First(demand.n_sequences.max(1));
    }
    Ok(label_config)
}

/// The run's selection, unless it does not exist yet.
fn existing_selection(path: Option<&Path>) -> Option<PathBuf> {
    let path = path?;
    if exists(path).unwrap_or_default() {
        return Some(path.to_path_buf());
    }
    say!(
        "note: {} does not exist yet: the probe reads the first sequences of the corpus",
        path.display()
    );
    None
}

impl Costs {
    fn of(config: &RunConfig, demand: LabelDemand, estimate: &Estimate, n_runs: u64) -> Self {
        let plan = &estimate.plan;
        let n_available = plan.n_sequences();
        let mean_targets = plan.sequences.n_targets as f64 / n_available as f64;
        let tokens_of = |n_sequences: u64| (n_sequences as f64 * mean_targets).round() as u64;
        let n_tokens = tokens_of(demand.n_sequences);
        let n_live = tokens_of(demand.n_seen).saturating_mul(n_runs);
        let n_rows = config.train.micro_batch_size() as u64 * u64::from(plan.sequences.seq_len);
        Costs {
            demand,
            n_sequences_there: n_available,
            n_runs,
            n_tokens,
            tokens_per_s: estimate.tokens_per_s,
            bytes_per_token: estimate.bytes_per_token,
            labels: Labels {
                seconds: n_tokens as f64 / estimate.tokens_per_s,
                bytes: n_tokens as f64 * estimate.bytes_per_token,
            },
            live_teacher: LiveTeacher {
                n_tokens: n_live,
                seconds: n_live as f64 / estimate.tokens_per_s,
                weight_bytes: plan.teacher.files.iter().map(|file| file.bytes).sum(),
                logits_bytes: n_rows * u64::from(plan.teacher.vocab_size) * 4,
            },
        }
    }

    fn render(&self) -> String {
        let (demand, live) = (&self.demand, &self.live_teacher);
        let time = |seconds: f64| HumanDuration(Duration::from_secs_f64(seconds)).to_string();
        let mut lines = vec![
            format!(
                "stage 1    {} steps of {} sequences, each seen up to {} time{}",
                HumanCount(demand.n_steps),
                demand.batch_size,
                demand.epochs,
                plural(demand.epochs.into())
            ),
            format!(
                "needs      {} labelled sequences, {} tokens",
                HumanCount(demand.n_sequences),
                HumanCount(self.n_tokens)
            ),
            format!(
                "probe      {:.0} tokens/s, {:.1} B/token",
                self.tokens_per_s, self.bytes_per_token
            ),
            String::new(),
            format!(
                "{:<11}{:>16}{:>32}",
                "",
                "labels, once",
                self.live_heading()
            ),
        ];
        for (what, labels, teacher) in [
            (
                "tokens",
                HumanCount(self.n_tokens).to_string(),
                HumanCount(live.n_tokens).to_string(),
            ),
            ("time", time(self.labels.seconds), time(live.seconds)),
            (
                "disk",
                HumanBytes(self.labels.bytes as u64).to_string(),
                "none".to_owned(),
            ),
            (
                "memory",
                "none".to_owned(),
                format!(
                    "{} + {} logits",
                    HumanBytes(live.weight_bytes),
                    HumanBytes(live.logits_bytes)
                ),
            ),
        ] {
            lines.push(format!("{what:<11}{labels:>16}{teacher:>32}"));
        }
        lines.extend(self.shortage());
        lines.join("\n") + "\n"
    }

    fn live_heading(&self) -> String {
        format!("live teacher, {} run{}", self.n_runs, plural(self.n_runs))
    }

    /// Says if there are too few sequences.
    fn shortage(&self) -> Option<String> {
        let (needed, n_available) = (self.demand.n_sequences, self.n_sequences_there);
        (n_available < needed).then(|| {
            format!(
                "\nwarning: only {} of the {} sequences exist: use a longer corpus or range, raise data.label_epochs, or lower kd.n_kd",
                HumanCount(n_available),
                HumanCount(needed)
            )
        })
    }
}

fn plural(n: u64) -> &'static str {
    if n == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs(n_sequences_there: u64) -> Costs {
        Costs {
            demand: LabelDemand {
                n_steps: 100,
                batch_size: 8,
                epochs: 1,
                n_seen: 800,
                n_sequences: 800,
            },
            n_sequences_there,
            n_runs: 3,
            n_tokens: 204_800,
            tokens_per_s: 2_048.0,
            bytes_per_token: 90.0,
            labels: Labels {
                seconds: 100.0,
                bytes: 18_432_000.0,
            },
            live_teacher: LiveTeacher {
                n_tokens: 614_400,
                seconds: 300.0,
                weight_bytes: 1 << 20,
                logits_bytes: 64 << 20,
            },
        }
    }

    #[test]
    fn the_table_compares_labels_with_a_live_teacher() {
        let text = costs(800).render();
        for words in [
            "100 steps of 8 sequences, each seen up to 1 time\n",
            "800 labelled sequences, 204,800 tokens",
            "live teacher, 3 runs",
            "1.00 MiB + 64.00 MiB logits",
            "614,400",
        ] {
            assert!(text.contains(words), "{words:?}\n{text}");
        }
        assert!(!text.contains("warning"), "{text}");
    }

    #[test]
    fn too_few_sequences_cause_a_warning() {
        let text = costs(500).render();
        assert!(text.contains("only 500 of the 800 sequences"), "{text}");
    }
}
