//! Held-out text, and scores of models on it.

use super::arm::Arm;
use super::config::SetConfig;
use super::error::ExperimentError;
use super::{BucketScore, EvalSet, SetScore, json};
use crate::bounds::have_sequences_in_common;
use crate::interrupt::Interrupt;
use crate::storage::{fingerprint_of, sampled_blake3};
use crate::tokens::{EodPosition, OpenOptions, Packing, ViewOptions};
use crate::train::TrainError;
use crate::train::data::{LabelSource, TokenOptions, TokenSource};
use crate::train::eval::{
    DEFAULT_BATCH_POSITIONS, EvalError, EvalOptions, EvalProgress, LabelledOptions, evaluate,
    evaluate_labelled, evaluation_capacity, labelled_capacity, open_labelled, teacher_terciles,
};
use crate::train::model::{Network, Params};
use crate::train::run::{corpus_identity, labelled_identity};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Raised whenever the meaning of a score changes, so that old ones are not reused.
const SCORE_VERSION: &str = "score 1";
/// File of the sets as last opened.
const SETS_NAME: &str = "sets.json";

/// An opened set.
pub(super) struct OpenedSet {
    /// Its facts for the results.
    pub(super) facts: SetFacts,
    text: Text,
}

/// Facts about a set for the results, saved in `sets.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SetFacts {
    /// The set in the results.
    #[serde(flatten)]
    pub(super) set: EvalSet,
    /// Depends on its contents, how it is cut, and the meaning of a score.
    pub(super) fingerprint: String,
    /// Arms whose models are trained on some of its text.
    #[serde(default)]
    pub(super) seen_by: Vec<String>,
}

impl SetFacts {
    /// A warning if the set is not held-out text; `None` if it is.
    pub(super) fn note(&self) -> Option<String> {
        (!self.seen_by.is_empty()).then(|| {
            format!(
                "the set {} has text that models of {} are trained on: their NLL on it shows how well they learnt that text, not how they do on new text.",
                self.set.name,
                self.seen_by.join(", ")
            )
        })
    }
}

/// Contents of `sets.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum KnownSets {
    Checked {
        sets: Vec<SetFacts>,
    },
    /// From versions whose file had no checksum.
    Old(Vec<SetFacts>),
}

enum Text {
    Tokens(TokenSource),
    /// With the boundaries of its buckets.
    Labels(LabelSource, [f64; 2]),
}

impl OpenedSet {
    /// Opens the set for models trained like the first of `arms`: cut in the same way, with the same tokenizer.
    /// `known` are facts of sets that were opened before.
    pub(super) fn open(
        config: &SetConfig,
        arms: &[Arm],
        known: &[SetFacts],
    ) -> Result<Self, ExperimentError> {
        let arm = &arms[0];
        let opened = match (&config.labels, &config.tokens) {
            (Some(dir), _) => open_labels(&config.name, dir, arm, known),
            (None, Some(path)) => open_tokens(config, path, arm),
            (None, None) => Err(EvalError::NothingToPredict.into()),
        };
        let opened = opened.and_then(|set| set.with_readers(arms, known));
        opened.map_err(|error| in_set(&config.name, error))
    }

    /// A warning if it is not held-out text.
    pub(super) fn note(&self) -> Option<String> {
        self.facts.note()
    }

    /// Finds out which of `arms` read its text; for other arms, takes this from `known`.
    fn with_readers(mut self, arms: &[Arm], known: &[SetFacts]) -> Result<Self, TrainError> {
        let is_same = |facts: &&SetFacts| facts.fingerprint == self.facts.fingerprint;
        let known = known.iter().find(is_same);
        let others = known.into_iter().flat_map(|facts| facts.seen_by.clone());
        let mut seen_by: Vec<String> = others
            .filter(|name| arms.iter().all(|arm| arm.name != *name))
            .collect();
        for arm in arms {
            if self.text.is_read_by(arm)? {
                seen_by.push(arm.name.clone());
            }
        }
        self.facts.seen_by = seen_by;
        Ok(self)
    }

    /// Scores a model, and returns its parameters for the next set.
    pub(super) fn score(
        &self,
        params: Params,
        threads: usize,
        interrupt: &Interrupt,
    ) -> Result<(SetScore, Params), ExperimentError> {
        let flow = |_: &EvalProgress| interrupt.flow();
        let scored = match &self.text {
            Text::Tokens(source) => score_tokens(source, params, threads, flow),
            Text::Labels(labels, boundaries) => {
                score_labels(labels, *boundaries, params, threads, flow)
            }
        };
        scored.map_err(|error| in_set(&self.facts.set.name, error))
    }
}

impl Text {
    /// Whether models of `arm` learn from some of its text: from the whole of its token files, or from labels
    /// of its sequences.
    fn is_read_by(&self, arm: &Arm) -> Result<bool, TrainError> {
        let (corpus, labels) = match self {
            Text::Tokens(source) => (corpus_identity(source.corpus())?, None),
            Text::Labels(labels, _) => (labelled_identity(labels), Some(labels)),
        };
        let is_whole = arm.sources.tokens.as_ref() == Some(&corpus);
        let in_labels = match (labels, &arm.labels) {
            (_, None) => false,
            (None, Some(_)) => arm.sources.labelled_tokens.as_ref() == Some(&corpus),
            (Some(ours), Some(theirs)) => {
                let plans = |labels: &LabelSource| labels.plans().to_vec();
                let (ours, theirs) = (plans(ours), plans(theirs));
                let mut pairs = ours.iter().flat_map(|a| theirs.iter().map(move |b| (a, b)));
                pairs.any(|(a, b)| have_sequences_in_common(a, b))
            }
        };
        Ok(is_whole || in_labels)
    }
}

fn in_set(set: &str, error: TrainError) -> ExperimentError {
    ExperimentError::Set {
        set: set.to_owned(),
        source: Box::new(error),
    }
}

fn fingerprint(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = [SCORE_VERSION.to_owned()]
        .into_iter()
        .chain(parts)
        .collect();
    fingerprint_of(parts.iter().map(String::as_str))
}

fn open_labels(
    name: &str,
    dir: &Path,
    arm: &Arm,
    known: &[SetFacts],
) -> Result<OpenedSet, TrainError> {
    let labels = open_labelled(dir, None)?;
    labels.check_tokenizer(&arm.tokenizer)?;
    let fingerprint = fingerprint([labels.fingerprint()].into_iter());
    let is_same = |facts: &&SetFacts| facts.fingerprint == fingerprint;
    let mut set = match known.iter().find(is_same) {
        Some(known) => known.set.clone(),
        None => facts_of_labels(&labels)?,
    };
    name.clone_into(&mut set.name);
    let boundaries = [0, 1].map(|i| set.bucket_borders.get(i).copied().unwrap_or(f64::INFINITY));
    Ok(OpenedSet {
        facts: SetFacts {
            set,
            fingerprint,
            seen_by: Vec::new(),
        },
        text: Text::Labels(labels, boundaries),
    })
}

/// Reads the teacher's NLL of all positions three times.
fn facts_of_labels(labels: &LabelSource) -> Result<EvalSet, TrainError> {
    let boundaries = teacher_terciles(labels, &LabelledOptions::default())?;
    let (mut n_targets, mut nll) = (0, 0.0);
    for example in labels.examples() {
        let signals = example?.signals.unwrap_or_default();
        n_targets += signals.target_logprob_t.len() as u64;
        let logprobs = signals.target_logprob_t.iter();
        nll -= logprobs.map(|&logprob| f64::from(logprob)).sum::<f64>();
    }
    Ok(EvalSet {
        name: String::new(),
        n_targets,
        teacher_nll: Some(nll / n_targets as f64).filter(|nll| nll.is_finite()),
        bucket_borders: boundaries.to_vec(),
    })
}

fn open_tokens(config: &SetConfig, path: &Path, arm: &Arm) -> Result<OpenedSet, TrainError> {
    let data = &arm.config.data;
    let view = ViewOptions {
        packing: data.packing.unwrap_or(Packing::Concat),
        seq_len: data.seq_len.unwrap_or(0),
        sequence_bos: data.sequence_bos,
    };
    let how = [
        Some(format!("{view:?}")),
        config.eod.map(|eod| format!("eod {eod}")),
        config.tokens_format.map(|format| format!("{format:?}")),
        config.dtype.map(|dtype| format!("dtype {}", dtype.name())),
    ];
    let options = TokenOptions {
        path: path.to_path_buf(),
        open_options: OpenOptions {
            format: config.tokens_format,
            dtype: config.dtype,
            eod: config.eod,
            eod_position: config.eod_position,
        },
        view,
        seed: 0,
    };
    let (source, _) = TokenSource::open(&options, &arm.tokenizer)?;
    let is_front = source.corpus().eod_position() == Some(EodPosition::Front);
    let front = is_front.then(|| "eod in front".to_owned());
    let files = source.corpus().local_files().iter();
    let hashes: Result<Vec<String>, _> = files.map(|file| sampled_blake3(file)).collect();
    Ok(OpenedSet {
        facts: SetFacts {
            set: EvalSet {
                name: config.name.clone(),
                n_targets: source.view().n_targets(),
                teacher_nll: None,
                bucket_borders: Vec::new(),
            },
            fingerprint: fingerprint(how.into_iter().flatten().chain(front).chain(hashes?)),
            seen_by: Vec::new(),
        },
        text: Text::Tokens(source),
    })
}

fn score_tokens(
    source: &TokenSource,
    params: Params,
    threads: usize,
    flow: impl Fn(&EvalProgress) -> ControlFlow<()>,
) -> Result<(SetScore, Params), TrainError> {
    let view = source.view();
    let capacity = evaluation_capacity(&params.spec, &view, DEFAULT_BATCH_POSITIONS, threads)?;
    let mut network = Network::new(params, capacity);
    let seq_ids = 0..view.len();
    let report = evaluate(&mut network, &view, seq_ids, &EvalOptions::default(), flow)?;
    let (Some(nll), Some(accuracy), Some(ece)) =
        (report.score.mean_nll_nats, report.accuracy, report.ece)
    else {
        return Err(EvalError::NothingToPredict.into());
    };
    let score = SetScore {
        nll,
        accuracy,
        ece,
        buckets: Vec::new(),
    };
    Ok((score, network.into_params()))
}

fn score_labels(
    labels: &LabelSource,
    boundaries: [f64; 2],
    params: Params,
    threads: usize,
    flow: impl Fn(&EvalProgress) -> ControlFlow<()>,
) -> Result<(SetScore, Params), TrainError> {
    let capacity = labelled_capacity(&params.spec, labels, DEFAULT_BATCH_POSITIONS, threads)?;
    let mut network = Network::new(params, capacity);
    let options = LabelledOptions {
        boundaries: Some(boundaries),
        ..LabelledOptions::default()
    };
    let report = evaluate_labelled(&mut network, labels, &options, flow)?;
    let buckets = report.buckets.iter().map(|bucket| BucketScore {
        n_targets: bucket.n_targets,
        nll: bucket.nll.unwrap_or(f64::NAN),
        teacher_nll: bucket.teacher_nll.unwrap_or(f64::NAN),
    });
    let score = SetScore {
        nll: report.nll,
        accuracy: report.accuracy,
        ece: report.ece,
        buckets: buckets.collect(),
    };
    Ok((score, network.into_params()))
}

/// The sets as last opened; empty if they never were.
pub(super) fn read_sets(output: &Path) -> Result<Vec<SetFacts>, ExperimentError> {
    Ok(match json::read(&path(output))? {
        Some(KnownSets::Checked { sets } | KnownSets::Old(sets)) => sets,
        None => Vec::new(),
    })
}

/// Whether `output` has the results of a grid.
pub(super) fn is_a_grid(output: &Path) -> bool {
    path(output).is_file()
}

/// Saves the sets' facts for when they are not opened.
pub(super) fn write_sets(output: &Path, sets: &[OpenedSet]) -> Result<(), ExperimentError> {
    let sets = sets.iter().map(|set| set.facts.clone()).collect();
    json::write(&path(output), &KnownSets::Checked { sets })
}

fn path(output: &Path) -> PathBuf {
    output.join(SETS_NAME)
}
