//! The inputs of a run: opened, and checked against each other, before any long work.

use super::RunError;
use super::identity::{corpus_identity, labelled_identity};
use crate::shards::Group;
use crate::storage;
use crate::tokens::{OpenOptions, Packing, TokenCorpus, TokenFormat, Tokenizer, ViewOptions};
use crate::train::TrainError;
use crate::train::batch::KdLoss;
use crate::train::config::{LabelsView, Mode, RunConfig};
use crate::train::data::{
    DataError, LabelNeeds, LabelSource, LabelSourceOptions, Loader, LoaderPosition, Stages,
    TokenOptions, TokenSource, TokenizerFacts,
};
use crate::train::eval::check_same_tokenizer;
use crate::train::export::{SpecialIds, check_sealed, find_model, read_config};
use crate::train::loss::{KdPolicy, Teachers};
use crate::train::model::{Capacity, ModelSpec};
use crate::train::schedule::StagePlan;
use std::path::{Path, PathBuf};

/// All inputs of a run, checked to match.
#[derive(Debug)]
pub struct Inputs {
    /// The configuration with every default filled in.
    pub config: RunConfig,
    /// Dimensions of the model.
    pub spec: ModelSpec,
    /// The directory of weights to start from; `None` for new ones.
    pub init: Option<PathBuf>,
    /// What each step does.
    pub stages: StagePlan,
    /// How labels become targets; `None` if no step learns from labels.
    pub policy: Option<KdPolicy>,
    /// Labelled sequences.
    pub labels: Option<LabelSource>,
    /// The token corpus.
    pub tokens: Option<TokenSource>,
    /// The held-out corpus.
    pub validation: Option<TokenSource>,
    /// The ids that begin and end a document, for the exported model.
    pub special: SpecialIds,
    /// The bytes of `tokenizer.json`, for the exported model.
    pub tokenizer_json: Option<Vec<u8>>,
    /// Notes for the user on what could not be checked.
    pub notes: Vec<String>,
    /// The note that the validation text is also trained on, if it is; included in `notes`.
    pub same_text: Option<String>,
}

impl Inputs {
    /// Opens and checks everything that `config` names; weights are not read yet. The labels of each teacher are
    /// read as they were when they had the fingerprint in `label_fingerprints`, if they have been extended since.
    ///
    /// # Errors
    /// An invalid setting, an invalid input, or inputs that do not match.
    pub fn open_as_of(
        config: &RunConfig,
        label_fingerprints: &[String],
    ) -> Result<Self, TrainError> {
        config.validate()?;
        let labels = open_labels(config, label_fingerprints)?;
        let of_labels = labels.as_ref().map(|labels| LabelsView {
            sequences: labels.view(),
            has_samples: have_samples(labels),
        });
        let config = config.clone().resolve(of_labels.as_ref())?;
        let stages = StagePlan::of(&config);
        let weights = weights_dir(&config)?;
        let tokenizer = tokenizer_path(&config, weights.as_ref())?;
        let facts = facts(
            &config,
            weights.as_ref(),
            tokenizer.as_ref(),
            labels.as_ref(),
        )?;
        let (spec, special) = model(&config, weights.as_ref(), &facts, labels.as_ref())?;
        let policy = policy(&config, &stages, labels.as_ref())?;
        let read = policy.as_ref().filter(|_| stages.has_kd());
        let labels = labels.map(|labels| labels.reading(groups_of(read)));
        let mut notes: Vec<String> = Vec::new();
        if let Some(labels) = &labels {
            notes.extend(labels.note().map(str::to_owned));
            notes.extend(labels.teachers().filter_map(LabelSource::note_of_extension));
            notes.extend(selection_note(&config, labels));
        }
        // If the facts come from the labels, there is nothing to compare.
        if let Some(labels) = labels.as_ref().filter(|l| l.tokenizer() != facts) {
            notes.extend(labels.check_tokenizer(&facts)?);
        }
        let mut open = |path: &Option<PathBuf>, read| {
            let options = path.as_ref().map(|path| token_options(&config, path, read));
            open_tokens(options, &facts, &mut notes)
        };
        let tokens = open(&config.data.tokens, open_options(&config))?;
        let validation = open(&config.data.validation, validation_file_options(&config))?;
        let same_text = validation_on_same_text(&labels, &tokens, &validation)?;
        notes.extend(same_text.clone());
        notes.dedup();
        Ok(Self {
            special: special_ids(special, labels.as_ref(), tokens.as_ref()),
            tokenizer_json: read_tokenizer(tokenizer)?,
            init: weights.filter(|_| config.init.is_some()),
            config,
            spec,
            stages,
            policy,
            labels,
            tokens,
            validation,
            notes,
            same_text,
        })
    }

    /// T.
    pub fn seq_len(&self) -> usize {
        let seq_len = self.config.data.seq_len;
        seq_len.expect("a resolved configuration has one") as usize
    }

    /// The sizes that the network's buffers are allocated for.
    pub fn capacity(&self) -> Capacity {
        Capacity {
            n_positions: (self.config.train.micro_batch_size()).saturating_mul(self.seq_len()),
            seq_len: self.seq_len(),
            threads: self.config.train.threads(),
            training: true,
            recompute: self.config.train.recompute,
        }
    }

    /// The sequences of every step after `position`.
    ///
    /// # Errors
    /// Too few sequences for the steps; labels and corpus that do not match.
    pub fn loader(&self, position: LoaderPosition) -> Result<Loader, DataError> {
        let stages = Stages {
            labelled_steps: self.stages.labelled_steps_reserved(),
            token_steps: self.stages.max_token_steps(),
            batch_size: self.config.train.batch_size,
            label_epochs: self.config.data.label_epochs(),
            token_epochs: self.config.data.token_epochs(),
        };
        let (labels, tokens) = (self.labels.clone(), self.tokens.clone());
        Loader::new(
            labels,
            tokens,
            stages,
            self.config.data.prefetch(),
            position,
        )
    }
}

/// The directory of weights to start from, which has the dimensions and possibly a tokenizer: `init`, or the
/// checkpoint of a branch that does not set dimensions of its own.
fn weights_dir(config: &RunConfig) -> Result<Option<PathBuf>, TrainError> {
    let of_branch = config.branch_from.as_ref();
    let of_branch = of_branch.filter(|_| config.model.is_none());
    let dir = config.init.as_ref().or(of_branch);
    let dir = dir.map(|dir| find_model(dir)).transpose()?;
    if let Some(dir) = &dir {
        check_sealed(dir)?;
    }
    Ok(dir)
}

fn view_of(config: &RunConfig) -> ViewOptions {
    let data = &config.data;
    ViewOptions {
        packing: data.packing.unwrap_or(Packing::Concat),
        seq_len: data.seq_len.unwrap_or(0),
        sequence_bos: data.sequence_bos,
    }
}

fn open_labels(
    config: &RunConfig,
    label_fingerprints: &[String],
) -> Result<Option<LabelSource>, DataError> {
    let Some(dirs) = &config.data.labels else {
        return Ok(None);
    };
    let open = |(i, dir): (usize, &PathBuf)| {
        let selection = config.data.selection.clone();
        let options = LabelSourceOptions {
            dir: dir.clone(),
            // The selection belongs to the first labels, which determine the run's sequences.
            selection: selection.filter(|_| i == 0),
            seed: config.train.seed,
            shuffle_row_groups: config.data.shuffle_row_groups(),
        };
        LabelSource::open_as_of(&options, label_fingerprints.get(i).map(String::as_str))
    };
    let opened = dirs.all().iter().enumerate().map(open);
    let mut opened = opened.collect::<Result<Vec<_>, _>>()?.into_iter();
    let first = opened.next().expect("a valid list of labels has one");
    let joining = config.kd.joining(dirs.all().len());
    first.joined(opened.collect(), joining).map(Some)
}

/// Whether the labels of every teacher have samples.
fn have_samples(labels: &LabelSource) -> bool {
    let mut plans = labels.teachers().map(LabelSource::plan);
    plans.all(|plan| plan.signals.has(Group::Samples))
}

/// A note if the held-out corpus is also trained on, judging by the contents of its files.
fn validation_on_same_text(
    labels: &Option<LabelSource>,
    tokens: &Option<TokenSource>,
    validation: &Option<TokenSource>,
) -> Result<Option<String>, DataError> {
    let Some(validation) = validation else {
        return Ok(None);
    };
    let held_out = corpus_identity(validation.corpus())?;
    let of_tokens = tokens
        .as_ref()
        .map(|tokens| corpus_identity(tokens.corpus()));
    let trained_on = [
        ("data.tokens", of_tokens.transpose()?),
        ("data.labels", labels.as_ref().map(labelled_identity)),
    ];
    let same = trained_on
        .into_iter()
        .find(|(_, it)| it.as_ref() == Some(&held_out));
    Ok(same.map(|(key, _)| {
        format!(
            "data.validation is the text of {key}: the validation NLL shows how well that text was learnt, not how the model does on new text"
        )
    }))
}

/// A note if the labels cover only a selection, although the mode is not one for selections.
fn selection_note(config: &RunConfig, labels: &LabelSource) -> Option<String> {
    let is_of_selection = labels.plan().sequences.selection.is_some();
    let is_declared = matches!(config.kd.mode, Mode::SaltDs | Mode::DsCe);
    (is_of_selection && !is_declared).then(|| {
        format!(
            "{} has labels of selected sequences only, so stage 1 reads only those, although kd.mode does not say so",
            labels.dir().display()
        )
    })
}

/// What the configuration says about the files of `data.tokens`.
fn open_options(config: &RunConfig) -> OpenOptions {
    OpenOptions {
        format: config.data.tokens_format,
        dtype: config.data.dtype,
        eod: config.data.eod,
        eod_position: config.data.eod_position,
    }
}

/// The same for `data.validation`, which may have another format: the options apply only to a raw file, which has
/// no document boundaries of its own.
fn validation_file_options(config: &RunConfig) -> OpenOptions {
    let path = config.data.validation.as_deref();
    let detected = path.map(TokenFormat::detect).and_then(Result::ok);
    if detected.is_some_and(TokenFormat::has_document_boundaries) {
        return OpenOptions::default();
    }
    let options = open_options(config);
    OpenOptions {
        format: options
            .format
            .filter(|format| !format.has_document_boundaries()),
        // The header of an llm.c file states the type.
        dtype: options
            .dtype
            .filter(|_| detected != Some(TokenFormat::LlmC)),
        ..options
    }
}

fn token_options(config: &RunConfig, path: &Path, options: OpenOptions) -> TokenOptions {
    TokenOptions {
        path: path.to_path_buf(),
        open_options: options,
        view: view_of(config),
        seed: config.train.seed,
    }
}

fn open_tokens(
    options: Option<TokenOptions>,
    facts: &TokenizerFacts,
    notes: &mut Vec<String>,
) -> Result<Option<TokenSource>, DataError> {
    let Some(options) = options else {
        return Ok(None);
    };
    let (source, more) = TokenSource::open(&options, facts)?;
    notes.extend(more);
    Ok(Some(source))
}

/// The tokenizer of `data.tokenizer`, or the one next to the weights to start from. If both exist, they must match.
fn tokenizer_path(
    config: &RunConfig,
    init: Option<&PathBuf>,
) -> Result<Option<PathBuf>, TrainError> {
    let beside_weights = init
        .map(|dir| dir.join("tokenizer.json"))
        .filter(|path| path.is_file());
    let Some(named) = &config.data.tokenizer else {
        return Ok(beside_weights);
    };
    if let Some(own) = beside_weights.filter(|own| own != named) {
        let tokenizer = Tokenizer::open(named).map_err(DataError::from)?;
        check_same_tokenizer(&tokenizer, named, &own)?;
    }
    Ok(Some(named.clone()))
}

fn read_tokenizer(path: Option<PathBuf>) -> Result<Option<Vec<u8>>, TrainError> {
    let json = path.map(|path| storage::read(&path)).transpose();
    Ok(json.map_err(DataError::from)?)
}

/// What is known about the run's tokenizer: from a `tokenizer.json`, else from the labels, else from a corpus, else
/// from the vocabulary size of the weights to start from.
fn facts(
    config: &RunConfig,
    init: Option<&PathBuf>,
    tokenizer: Option<&PathBuf>,
    labels: Option<&LabelSource>,
) -> Result<TokenizerFacts, TrainError> {
    if let Some(path) = tokenizer {
        return Ok(TokenizerFacts::of_tokenizer(path)?);
    }
    if let Some(labels) = labels {
        return Ok(labels.tokenizer());
    }
    let corpora = [
        (&config.data.tokens, open_options(config)),
        (&config.data.validation, validation_file_options(config)),
    ];
    for (path, options) in corpora {
        let facts = path.as_deref().map(|path| facts_of_corpus(path, options));
        if let Some(facts) = facts.transpose()?.flatten() {
            return Ok(facts);
        }
    }
    if let Some(dir) = init {
        let (spec, _) = read_config(dir)?;
        return Ok(TokenizerFacts {
            fingerprint: None,
            vocab_size: spec.vocab_size as u32,
            source: dir.display().to_string(),
        });
    }
    Err(RunError::Setting {
        key: "data.tokenizer",
        expected: "the tokenizer.json of the tokens".to_owned(),
        got: "none, and the token files do not record the size of their vocabulary".to_owned(),
        remedy: "give one, or use tokens of `saltworks tokenize`".to_owned(),
    }
    .into())
}

fn facts_of_corpus(path: &Path, options: OpenOptions) -> Result<Option<TokenizerFacts>, DataError> {
    // Document boundaries are not needed here.
    let options = OpenOptions {
        eod: None,
        eod_position: None,
        ..options
    };
    let corpus = TokenCorpus::open(path, &options)?;
    Ok(TokenizerFacts::of_corpus(&corpus))
}

/// The dimensions, and the special ids of the weights to start from.
fn model(
    config: &RunConfig,
    init: Option<&PathBuf>,
    facts: &TokenizerFacts,
    labels: Option<&LabelSource>,
) -> Result<(ModelSpec, Option<SpecialIds>), TrainError> {
    let seq_len = config.data.seq_len.unwrap_or(0) as usize;
    if let Some(model) = &config.model {
        let spec = model.spec(facts.vocab_size as usize, seq_len);
        spec.validate()?;
        return Ok((spec, None));
    }
    let dir = init.expect("a valid configuration has a model, an init or a checkpoint");
    let (spec, special) = read_config(dir)?;
    if spec.vocab_size < facts.vocab_size as usize {
        return Err(DataError::Vocabulary {
            path: labels.map_or_else(|| PathBuf::from(&facts.source), |l| l.dir().to_path_buf()),
            expected: spec.vocab_size as u32,
            got: facts.vocab_size,
            source_of: dir.display().to_string(),
        }
        .into());
    }
    if spec.max_seq_len < seq_len {
        return Err(RunError::Setting {
            key: "data.seq_len",
            expected: format!(
                "at most {}, the longest sequence that {} supports",
                spec.max_seq_len,
                dir.display()
            ),
            got: seq_len.to_string(),
            remedy: "use a shorter one (labels: label again with a smaller --seq-len)".to_owned(),
        }
        .into());
    }
    Ok((spec, Some(special)))
}

/// How labels become targets, if any step learns from them.
fn policy(
    config: &RunConfig,
    stages: &StagePlan,
    labels: Option<&LabelSource>,
) -> Result<Option<KdPolicy>, DataError> {
    let kd = &config.kd;
    let (Some(labels), true) = (labels, stages.learns_from_labels()) else {
        return Ok(None);
    };
    let loss = kd.loss(have_samples(labels));
    let needs = LabelNeeds {
        loss,
        tau: kd.tau,
        gate: kd.gate,
        min_top_k: min_top_k(loss),
        teacher_nll: stages.auto_transition().is_some(),
    };
    let tau_idx = labels.teachers().map(|labels| {
        if !stages.has_kd() {
            // Only cross-entropy, at the positions that the gate keeps.
            let gate = labels.check_group("kd.gate = \"excess\"", Group::Stats);
            return gate.map(|()| None);
        }
        if kd.teachers == Teachers::LowerNll {
            labels.check_group("kd.teachers = \"lower-nll\"", Group::Stats)?;
        }
        labels.check_needs(&needs)
    });
    Ok(Some(KdPolicy {
        tau_idx: tau_idx.collect::<Result<_, _>>()?,
        joining: labels.joining().clone(),
        loss,
        tau: kd.tau,
        temperature_mode: kd.temperature_mode,
        gate: kd.gate,
        gate_k: kd.gate_k,
        gate_fraction: kd.gate_fraction(),
        gate_excess: kd.gate_excess,
    }))
}

/// The groups to read from the labels: every run logs the teacher's NLL; the other groups are for the loss.
fn groups_of(policy: Option<&KdPolicy>) -> &'static [Group] {
    match policy.map(|policy| policy.loss) {
        None => &[Group::Scores, Group::Stats],
        Some(KdLoss::Sampled) => &[Group::Scores, Group::Stats, Group::Samples],
        Some(_) => &[Group::Scores, Group::Stats, Group::Topk],
    }
}

/// The smallest K that a loss can learn from: a single id rescaled to probability 1 would be a one-hot target.
fn min_top_k(loss: KdLoss) -> u32 {
    match loss {
        KdLoss::TailBucket | KdLoss::Drop => 1,
        KdLoss::Renormalize => 2,
        KdLoss::Sampled => 0,
    }
}

/// Each of the weights to start from, else of the corpus, else of the labels.
fn special_ids(
    of_weights: Option<SpecialIds>,
    labels: Option<&LabelSource>,
    tokens: Option<&TokenSource>,
) -> SpecialIds {
    let of_corpus = tokens.and_then(|tokens| tokens.corpus().corpus_json());
    let of_labels = labels.and_then(|labels| labels.plan().tokenizer.as_ref());
    let ids_of_data = [
        of_corpus.map(|json| (json.bos, json.eod)),
        of_labels.map(|tokenizer| (tokenizer.bos, tokenizer.eod)),
    ];
    completed(of_weights.unwrap_or_default(), ids_of_data)
}

/// Fills in what `special` lacks from the first source (beginning, end) that has it.
fn completed(special: SpecialIds, sources: [Option<(Option<u32>, Option<u32>)>; 2]) -> SpecialIds {
    let sources = || sources.into_iter().flatten();
    let bos = || sources().find_map(|(bos, _)| bos);
    let eod = || sources().find_map(|(_, eod)| eod);
    SpecialIds {
        bos: special.bos.or_else(bos),
        eos: match special.eos.is_empty() {
            true => eod().into_iter().collect(),
            false => special.eos,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_ids_come_from_the_weights_then_the_corpus_then_the_labels() {
        let ids = |bos, eos: &[u32]| SpecialIds {
            bos,
            eos: eos.to_vec(),
        };
        let corpus = Some((None, Some(3)));
        let labels = Some((Some(4), Some(5)));
        for (special, sources, expected) in [
            (
                ids(Some(1), &[2, 7]),
                [corpus, labels],
                ids(Some(1), &[2, 7]),
            ),
            (ids(Some(1), &[]), [corpus, labels], ids(Some(1), &[3])),
            (ids(None, &[2]), [corpus, labels], ids(Some(4), &[2])),
            (ids(None, &[]), [None, labels], ids(Some(4), &[5])),
            (ids(None, &[]), [corpus, None], ids(None, &[3])),
        ] {
            assert_eq!(completed(special, sources), expected);
        }
    }

    #[test]
    fn format_and_eod_apply_to_a_validation_file_without_document_boundaries() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir(path("corpus")).unwrap();
        for name in ["corpus/tokens.bin", "corpus/tokens.idx", "raw.bin", "raw"] {
            std::fs::write(path(name), [0; 8]).unwrap();
        }
        let options = |validation: &str, format: &str| {
            let text = format!(
                "output = \"o\"\ninit = \"i\"\n[data]\ntokens = \"t\"\nvalidation = {:?}\n\
                 tokens_format = {format:?}\neod = 7\n[train]\nsteps = 1\nbatch_size = 1\n",
                path(validation)
            );
            let options = validation_file_options(&toml::from_str(&text).unwrap());
            (options.format, options.eod)
        };
        let raw = (Some(TokenFormat::NanoGpt), Some(7));
        assert_eq!(options("corpus", "nanogpt"), (None, None));
        assert_eq!(options("v.parquet", "nanogpt"), (None, None));
        assert_eq!(options("raw.bin", "nanogpt"), raw);
        assert_eq!(options("raw", "nanogpt"), raw, "a name that does not tell");
        assert_eq!(options("raw.bin", "megatron"), (None, Some(7)));
    }
}
