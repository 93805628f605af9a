//! What a run reads, opened and held against each other before any long work.

use super::RunError;
use crate::storage::StorageError;
use crate::tokens::{Packing, ViewOptions};
use crate::train::TrainError;
use crate::train::config::RunConfig;
use crate::train::data::{
    DataError, LabelNeeds, LabelOptions, LabelSource, Loader, LoaderPosition, Stages, TokenOptions,
    TokenSource, TokenizerFacts,
};
use crate::train::export::{SpecialIds, find_model, read_config};
use crate::train::loss::{KdLoss, KdPolicy};
use crate::train::model::{Capacity, ModelSpec};
use crate::train::schedule::StagePlan;
use std::path::PathBuf;

/// Everything that a run reads, found to belong together.
#[derive(Debug)]
pub struct Inputs {
    /// The configuration with every default filled in.
    pub config: RunConfig,
    /// Dimensions of the model.
    pub spec: ModelSpec,
    /// The directory of weights to start from; `None` draws fresh ones.
    pub init: Option<PathBuf>,
    /// Which step does what.
    pub stages: StagePlan,
    /// How labels become targets; `None` where nothing is learnt from them.
    pub policy: Option<KdPolicy>,
    /// Labelled sequences.
    pub labels: Option<LabelSource>,
    /// The token corpus.
    pub tokens: Option<TokenSource>,
    /// The corpus held out.
    pub validation: Option<TokenSource>,
    /// Beginning and end of a document, for the exported model.
    pub special: SpecialIds,
    /// The bytes of `tokenizer.json`, for the exported model.
    pub tokenizer_json: Option<Vec<u8>>,
    /// What a user should know of what could not be checked.
    pub notes: Vec<String>,
}

impl Inputs {
    /// Opens and checks all that `config` names; weights are not read yet.
    ///
    /// # Errors
    /// Whatever is wrong with a setting, with one of the inputs, or between them.
    pub fn open(config: &RunConfig) -> Result<Self, TrainError> {
        config.validate()?;
        let labels = open_labels(config)?;
        let view = labels.as_ref().map(LabelSource::view);
        let config = config.clone().resolve(view.as_ref())?;
        let stages = StagePlan::of(&config);
        let init = config.init.as_deref().map(find_model).transpose()?;
        let tokenizer = tokenizer_path(&config, init.as_ref());
        let facts = facts(&config, init.as_ref(), tokenizer.as_ref(), labels.as_ref())?;
        let (spec, special) = model(&config, init.as_ref(), &facts, labels.as_ref())?;
        let policy = policy(&config, &stages, labels.as_ref())?;
        let mut notes = Vec::new();
        // Labels that are where the facts are from need not be compared with themselves.
        if let Some(labels) = labels.as_ref().filter(|l| l.tokenizer() != facts) {
            notes.extend(labels.check_tokenizer(&facts)?);
        }
        let mut open = |path: &Option<PathBuf>| open_tokens(&config, path, &facts, &mut notes);
        let tokens = open(&config.data.tokens)?;
        let validation = open(&config.data.validation)?;
        notes.dedup();
        Ok(Self {
            special: special_ids(special, labels.as_ref(), tokens.as_ref()),
            tokenizer_json: read_tokenizer(tokenizer)?,
            config,
            spec,
            init,
            stages,
            policy,
            labels,
            tokens,
            validation,
            notes,
        })
    }

    /// T.
    pub fn seq_len(&self) -> usize {
        let seq_len = self.config.data.seq_len;
        seq_len.expect("a resolved configuration has one") as usize
    }

    /// How the sequences of every source are cut.
    pub fn view(&self) -> ViewOptions {
        view_of(&self.config)
    }

    /// What the network is to hold room for.
    pub fn capacity(&self) -> Capacity {
        Capacity {
            n_positions: (self.config.train.micro_batch_size()).saturating_mul(self.seq_len()),
            seq_len: self.seq_len(),
            threads: self.config.train.threads(),
            training: true,
            recompute: self.config.train.recompute,
        }
    }

    /// The sequences of every step behind `position`.
    ///
    /// # Errors
    /// Too few sequences for the steps; what is wrong between labels and corpus.
    pub fn loader(&self, position: LoaderPosition) -> Result<Loader, DataError> {
        let stages = Stages {
            labelled_steps: self.stages.max_labelled_steps(),
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

fn view_of(config: &RunConfig) -> ViewOptions {
    let data = &config.data;
    ViewOptions {
        packing: data.packing.unwrap_or(Packing::Concat),
        seq_len: data.seq_len.unwrap_or(0),
        sequence_bos: data.sequence_bos,
    }
}

fn open_labels(config: &RunConfig) -> Result<Option<LabelSource>, DataError> {
    let Some(dir) = &config.data.labels else {
        return Ok(None);
    };
    let options = LabelOptions {
        dir: dir.clone(),
        selection: config.data.selection.clone(),
        seed: config.train.seed,
        shuffle_row_groups: config.data.shuffle_row_groups(),
    };
    LabelSource::open(&options).map(Some)
}

fn open_tokens(
    config: &RunConfig,
    path: &Option<PathBuf>,
    facts: &TokenizerFacts,
    notes: &mut Vec<String>,
) -> Result<Option<TokenSource>, DataError> {
    let Some(path) = path else {
        return Ok(None);
    };
    let options = TokenOptions {
        path: path.clone(),
        format: config.data.tokens_format,
        eod: config.data.eod,
        view: view_of(config),
        seed: config.train.seed,
    };
    let (source, note) = TokenSource::open(&options, facts)?;
    notes.extend(note);
    Ok(Some(source))
}

/// The tokenizer that is named, or the one beside the weights to start from.
fn tokenizer_path(config: &RunConfig, init: Option<&PathBuf>) -> Option<PathBuf> {
    let beside_weights = init
        .map(|dir| dir.join("tokenizer.json"))
        .filter(|path| path.is_file());
    config.data.tokenizer.clone().or(beside_weights)
}

fn read_tokenizer(path: Option<PathBuf>) -> Result<Option<Vec<u8>>, TrainError> {
    let read = |path: PathBuf| {
        std::fs::read(&path).map_err(|source| StorageError::io("read", &path, source))
    };
    Ok(path.map(read).transpose().map_err(DataError::from)?)
}

/// What the run's tokenizer is: a `tokenizer.json`, else what the labels say, else the corpus, else
/// the vocabulary of the weights to start from.
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
    let corpora = [&config.data.tokens, &config.data.validation];
    for path in corpora.into_iter().flatten() {
        if let Some(facts) = facts_of_corpus(config, path)? {
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
        got: "none, and the token files do not say how large their vocabulary is".to_owned(),
        remedy: "give it, or tokens of `saltworks tokenize`".to_owned(),
    }
    .into())
}

fn facts_of_corpus(
    config: &RunConfig,
    path: &std::path::Path,
) -> Result<Option<TokenizerFacts>, DataError> {
    let options = crate::tokens::OpenOptions {
        format: config.data.tokens_format,
        eod: None,
    };
    let corpus = crate::tokens::TokenCorpus::open(path, &options)?;
    Ok(TokenizerFacts::of_corpus(&corpus))
}

/// The dimensions, and the special ids that weights to start from bring along.
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
    let dir = init.expect("a valid configuration has a model or an init");
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
                "at most {}, the longest sequence that {} is for",
                spec.max_seq_len,
                dir.display()
            ),
            got: seq_len.to_string(),
            remedy: "take a shorter one (labels: label again with a smaller --seq-len)".to_owned(),
        }
        .into());
    }
    Ok((spec, Some(special)))
}

/// How labels become targets, where any step learns from them.
fn policy(
    config: &RunConfig,
    stages: &StagePlan,
    labels: Option<&LabelSource>,
) -> Result<Option<KdPolicy>, DataError> {
    let kd = &config.kd;
    let (Some(labels), true) = (labels, stages.learns_from_labels()) else {
        return Ok(None);
    };
    let tau_idx = labels.check_needs(&LabelNeeds {
        loss: Some(kd.loss),
        tau: kd.tau,
        gate: kd.gate,
        min_top_k: least_top_k(kd.loss),
        teacher_nll: stages.auto_transition().is_some(),
    })?;
    Ok(Some(KdPolicy {
        loss: kd.loss,
        tau: kd.tau,
        temperature_mode: kd.temperature_mode,
        gate: kd.gate,
        gate_k: kd.gate_k,
        tau_idx,
    }))
}

/// Of one id rescaled to probability 1 nothing is learnt but the id.
fn least_top_k(loss: KdLoss) -> u32 {
    match loss {
        KdLoss::TailBucket | KdLoss::Drop => 1,
        KdLoss::Renormalize => 2,
        KdLoss::Sampled => 0,
    }
}

/// Those of the weights to start from, else of the corpus, else of the labels.
fn special_ids(
    of_weights: Option<SpecialIds>,
    labels: Option<&LabelSource>,
    tokens: Option<&TokenSource>,
) -> SpecialIds {
    if let Some(special) = of_weights {
        return special;
    }
    let of_corpus = tokens.and_then(|tokens| tokens.corpus().corpus_json());
    let of_labels = labels.and_then(|labels| labels.plan().tokenizer.as_ref());
    let ids = of_corpus
        .map(|json| (json.bos, json.eod))
        .or(of_labels.map(|tokenizer| (tokenizer.bos, tokenizer.eod)));
    let (bos, eod) = ids.unwrap_or_default();
    SpecialIds {
        bos,
        eos: eod.into_iter().collect(),
    }
}
