//! Opens the inputs and compares them with each other before any long work.

use super::checkpoint::{TeacherModel, standard_model, teacher_model};
use super::error::LabelError;
use super::options::LabelConfig;
use super::provenance::{self, Provenance};
use super::reduction::signals_config;
use crate::checkpoint_graph::OnWork;
use crate::error::{Classified, Kind};
use crate::shards::{Group, PlanTokenizer};
use crate::teacher::{
    DeviceChoice, RuntimeLibrary, Teacher, TeacherError, TeacherOptions, load_runtime,
};
use crate::tokens::{OpenOptions, Packing, SequenceView, TokenCorpus, Tokenizer, ViewOptions};
use std::path::Path;

/// Everything that labelling reads from.
pub struct LabelInputs {
    /// The ONNX Runtime in use.
    pub runtime: RuntimeLibrary,
    /// The model, loaded on the first device.
    pub teacher: Teacher,
    /// The same on each of the other devices.
    pub more_teachers: Vec<Teacher>,
    /// The file it was opened from.
    pub(super) model: TeacherModel,
    /// The tokens.
    pub corpus: TokenCorpus,
    /// What is known about the tokenizer that made the tokens.
    pub tokenizer: Option<PlanTokenizer>,
    /// V: ids with a signal; logits beyond it are padding of the head, and are left out.
    pub vocab_size: u32,
    /// What was measured against the teacher and overridden, as words of the plan.
    pub allowed: Vec<String>,
    /// What is known about the teacher's own tokenizer.
    pub(super) provenance: Provenance,
    /// Notes for the user about the tokens, and about what could not be checked.
    pub notes: Vec<String>,
}

/// Sequences on which a teacher is tested.
const N_EXAMINED: u64 = 2;
/// Candidates, of which the longest is tested.
const N_CANDIDATES: u64 = 16;

impl LabelInputs {
    /// Opens all inputs and checks that they belong together. `on_graph` is called before a checkpoint's graph is made,
    /// if necessary.
    ///
    /// # Errors
    /// Anything wrong with one of them, or a mismatch between them, with the remedy.
    pub fn open(config: &LabelConfig, on_graph: OnWork<'_>) -> Result<Self, LabelError> {
        let corpus = open_corpus(config)?;
        let tokenizer = tokenizer_facts(config, &corpus)?;
        let provenance = provenance::compare(config, tokenizer.as_ref())?;
        let runtime = load_runtime(config.options.ort_lib.as_deref())?;
        let devices = devices(&config.options.device)?;
        let model = teacher_model(config, &devices, on_graph)?;
        let (model, mut teacher) = open_first(config, model, &devices, on_graph)?;
        let (vocab_size, note) = vocabulary(config, teacher.info().vocab_size, tokenizer.as_ref())?;
        check_sequence_bos(config, vocab_size)?;
        check_top_k(config, vocab_size)?;
        let allowed = examine(config, &mut teacher, &corpus, vocab_size)?;
        let calls = teacher.info().calls;
        let signals = signals_config(&config.plan_signals(), vocab_size);
        let reduced = |teacher: Teacher| teacher.with_reduction(config.options.reduce, &signals);
        let more = devices[1..].iter().map(|&device| {
            let mut teacher = open_teacher(config, &model, device, devices.len())?;
            teacher.set_calls(calls);
            Ok(reduced(teacher)?)
        });
        let no_boundaries_note = no_boundaries_note(config, &corpus);
        let notes = corpus.notes().iter().chain(&no_boundaries_note);
        let notes = notes.chain(&provenance.notes).chain(&note);
        let notes = notes.chain(&model.notes).cloned().collect();
        Ok(Self {
            runtime,
            notes,
            provenance,
            more_teachers: more.collect::<Result<_, LabelError>>()?,
            model,
            teacher: reduced(teacher)?,
            corpus,
            tokenizer,
            vocab_size,
            allowed,
        })
    }

    /// Every loaded model: one per device.
    pub(super) fn teachers(&mut self) -> Vec<&mut Teacher> {
        std::iter::once(&mut self.teacher)
            .chain(&mut self.more_teachers)
            .collect()
    }

    /// The corpus as sequences.
    ///
    /// # Errors
    /// Impossible options; a corpus without a single target.
    pub fn view(&self, config: &LabelConfig) -> Result<SequenceView<'_>, LabelError> {
        view_of(&self.corpus, config)
    }
}

/// Tests the teacher on sequences of the corpus; returns what was found against it and overridden. The choice of
/// sequences, and so the result, does not depend on which part of the corpus is labelled.
fn examine(
    config: &LabelConfig,
    teacher: &mut Teacher,
    corpus: &TokenCorpus,
    vocab_size: u32,
) -> Result<Vec<String>, LabelError> {
    let view = view_of(corpus, config)?;
    let texts = texts_to_examine(&view, vocab_size)?;
    let texts: Vec<&[u32]> = texts.iter().map(Vec::as_slice).collect();
    let problems = teacher.examine(&texts, vocab_size);
    // The longest of all is run there already.
    let problems = problems.map_err(|source| match source.kind() {
        Kind::Failed if source.is_permanent_failure() => LabelError::LongestSequence {
            seq_len: config.seq_len,
            source,
        },
        _ => source.into(),
    })?;
    match problems.first() {
        Some(problem) if !config.options.allow_any_teacher => Err(TeacherError::Unsuitable {
            model: config.teacher.clone(),
            problem: problem.clone(),
        })?,
        _ => Ok(problems.iter().map(|m| m.word().to_owned()).collect()),
    }
}

/// The longest of a few sequences, from the beginning and from the middle of the corpus. Ids outside the vocabulary are
/// skipped here: they are reported when the corpus is planned.
fn texts_to_examine(view: &SequenceView<'_>, vocab_size: u32) -> Result<Vec<Vec<u32>>, LabelError> {
    let mut texts = Vec::new();
    for i in 0..N_EXAMINED.min(view.len()) {
        let start = view.len() * i / N_EXAMINED;
        let seq_ids = start..(start + N_CANDIDATES).min(view.len());
        let Some(longest) = seq_ids.rev().max_by_key(|&id| view.n_targets_of(id)) else {
            continue;
        };
        let mut ids = view.read(longest)?.input_ids;
        // The last id is only a target.
        ids.pop();
        if ids.iter().all(|&id| id < vocab_size) {
            texts.push(ids);
        }
    }
    Ok(texts)
}

const DEVICES: &str = "auto, cpu, cuda, tensorrt, migraphx, rocm, openvino, coreml or directml, with :N for one of several (cuda:1), or several separated by commas";

/// `--device`: one, or several separated by commas, with a session each.
fn devices(text: &str) -> Result<Vec<DeviceChoice>, LabelError> {
    let parse = |word: &str| {
        let device = word.trim().parse();
        device.map_err(|_| LabelError::option("--device", DEVICES, format!("{word:?}")))
    };
    let devices: Vec<DeviceChoice> = text.split(',').map(parse).collect::<Result<_, _>>()?;
    if devices.len() > 1 && devices.contains(&DeviceChoice::Auto) {
        let expected = "devices by name where there are several, such as cuda:0,cuda:1";
        return Err(LabelError::option("--device", expected, text));
    }
    Ok(devices)
}

/// The first one, with standard operators if the runtime does not support the others.
fn open_first(
    config: &LabelConfig,
    model: TeacherModel,
    devices: &[DeviceChoice],
    on_graph: OnWork<'_>,
) -> Result<(TeacherModel, Teacher), LabelError> {
    match open_teacher(config, &model, devices[0], devices.len()) {
        Err(LabelError::Teacher(error @ TeacherError::SessionOpen { .. }))
            if model.has_fallback =>
        {
            let model = standard_model(config, &error.to_string(), on_graph)?;
            let teacher = open_teacher(config, &model, devices[0], devices.len())?;
            Ok((model, teacher))
        }
        opened => Ok((model, opened?)),
    }
}

/// One of `n_sessions`, which share the threads.
fn open_teacher(
    config: &LabelConfig,
    model: &TeacherModel,
    device: DeviceChoice,
    n_sessions: usize,
) -> Result<Teacher, LabelError> {
    let options = TeacherOptions {
        model: model.path.clone(),
        device,
        threads: (config.threads / n_sessions).max(1),
        logits_output: config.options.logits_output.clone(),
        seq_len_max: config.seq_len,
    };
    Ok(Teacher::open(&options)?)
}

pub(super) fn view_of<'a>(
    corpus: &'a TokenCorpus,
    config: &LabelConfig,
) -> Result<SequenceView<'a>, LabelError> {
    let options = ViewOptions {
        packing: config.options.packing,
        seq_len: config.seq_len,
        sequence_bos: config.options.sequence_bos,
    };
    let view = SequenceView::new(corpus, options)?;
    if view.is_empty() {
        return Err(LabelError::NoSequences {
            tokens: config.tokens.clone(),
            n_tokens: corpus.n_tokens(),
            n_documents: corpus.n_documents(),
        });
    }
    Ok(view)
}

pub(super) fn open_corpus(config: &LabelConfig) -> Result<TokenCorpus, LabelError> {
    let options = OpenOptions {
        format: config.options.tokens_format,
        dtype: config.options.dtype,
        eod: config.options.eod,
        eod_position: config.options.eod_position,
    };
    Ok(TokenCorpus::open(&config.tokens, &options)?)
}

/// A note on `document` packing of a file without document boundaries.
fn no_boundaries_note(config: &LabelConfig, corpus: &TokenCorpus) -> Option<String> {
    let is_whole = !corpus.format().has_document_boundaries() && config.options.eod.is_none();
    (is_whole && config.options.packing == Packing::Document).then(|| {
        format!(
            "{} does not record where documents begin, so it is treated as one document: name the id between documents with --eod",
            config.tokens.display()
        )
    })
}

/// From corpus.json, from `--tokenizer`, or from both, which must then agree.
pub(super) fn tokenizer_facts(
    config: &LabelConfig,
    corpus: &TokenCorpus,
) -> Result<Option<PlanTokenizer>, LabelError> {
    let recorded = corpus.corpus_json().map(|json| PlanTokenizer {
        fingerprint: json.tokenizer_fingerprint.clone(),
        vocab_size: json.vocab_size,
        bos: json.bos,
        eod: json.eod,
    });
    let Some(path) = &config.options.tokenizer else {
        return Ok(recorded);
    };
    let tokenizer = Tokenizer::open(path)?;
    let got = tokenizer.fingerprint();
    match recorded {
        Some(recorded) if recorded.fingerprint != got => Err(LabelError::TokenizerMismatch {
            path: path.clone(),
            expected: recorded.fingerprint,
            got,
        }),
        Some(recorded) => Ok(Some(recorded)),
        None => Ok(Some(PlanTokenizer {
            fingerprint: got,
            vocab_size: tokenizer.vocab_size(),
            bos: None,
            eod: config.options.eod,
        })),
    }
}

/// The V to use: the tokenizer's, which the teacher's must equal, or exceed by masked padding. A tokenizer may have ids
/// beyond the teacher's head as long as no text contains them, which is checked together with all ids.
fn vocabulary(
    config: &LabelConfig,
    teacher: u32,
    tokenizer: Option<&PlanTokenizer>,
) -> Result<(u32, Option<String>), LabelError> {
    let of_set = config.vocab_size;
    let Some(known) = of_set.or(tokenizer.map(|tokenizer| tokenizer.vocab_size)) else {
        return Ok((teacher, None));
    };
    let mismatch = |remedy| LabelError::Vocabulary {
        model: config.teacher.clone(),
        teacher,
        tokenizer: known,
        tokenizer_source: match of_set {
            Some(_) => config.output.join("plan.json").display().to_string(),
            None => tokenizer_source(config),
        },
        remedy,
    };
    if teacher != known
        && of_set.is_some()
        && !(teacher > known && config.options.mask_vocab_padding)
    {
        return Err(mismatch(
            "labels can only be compared with a teacher of the same vocabulary",
        ));
    }
    if teacher < known {
        let note = format!(
            "the tokenizer of the tokens has {known} ids, the teacher {teacher} logits per position: larger ids are refused in the tokens, and labels cover the teacher's {teacher}"
        );
        return Ok((teacher, Some(note)));
    }
    if teacher > known && !config.options.mask_vocab_padding {
        return Err(mismatch(
            "if the teacher has this tokenizer and its output layer is only padded, pass --mask-vocab-padding; otherwise tokenize with the teacher's own tokenizer",
        ));
    }
    Ok((known, None))
}

/// The text contains ids of the tokenizer for which the teacher has no logits.
pub(super) fn ids_beyond_head(config: &LabelConfig, teacher: u32, tokenizer: u32) -> LabelError {
    LabelError::Vocabulary {
        model: config.teacher.clone(),
        teacher,
        tokenizer,
        tokenizer_source: tokenizer_source(config),
        remedy: "the tokens do not match the teacher; tokenize with the teacher's own tokenizer",
    }
}

fn tokenizer_source(config: &LabelConfig) -> String {
    let named = |path: &Path| path.display().to_string();
    config
        .options
        .tokenizer
        .as_deref()
        .map_or_else(|| named(&config.tokens.join("corpus.json")), named)
}

fn check_top_k(config: &LabelConfig, vocab_size: u32) -> Result<(), LabelError> {
    if config.groups.contains(&Group::Topk) && config.options.top_k > vocab_size {
        let expected = format!("at most the vocabulary of {vocab_size}");
        return Err(LabelError::option(
            "--top-k",
            expected,
            config.options.top_k,
        ));
    }
    Ok(())
}

fn check_sequence_bos(config: &LabelConfig, vocab_size: u32) -> Result<(), LabelError> {
    match config.options.sequence_bos {
        Some(id) if id >= vocab_size => Err(LabelError::option(
            "--sequence-bos",
            format!("an id below the vocabulary of {vocab_size}"),
            id,
        )),
        _ => Ok(()),
    }
}
