//! From opened inputs to a plan: hashes, ranges, layout. Hashing a corpus takes long, so the hashes of unchanged files
//! are taken from an earlier plan in the same directory.

use super::error::LabelError;
use super::files::{fingerprint, identify, identify_corpus, known_plan};
use super::inputs::{LabelInputs, ids_beyond_head, view_of};
use super::options::{LabelConfig, SequenceRange};
use crate::shards::{
    Attention, ENGINE_FEATURE, FORMAT_VERSION, IMPOSSIBLE_TARGETS_FEATURE, Layout, Plan,
    PlanCorpus, PlanFile, PlanSelection, PlanSequences, PlanSignals, PlanTeacher, PlanTokenizer,
    Positions, SAMPLES_FEATURE, SELECTION_FEATURE, Selection, ViewIdentity,
};
use crate::storage;
use crate::tokens::{EodPosition, Packing, SequenceView, TokenCorpus, TokensError};
use std::ops::Range;
use std::path::PathBuf;

/// Makes the plan for `config`.
///
/// # Errors
/// A range outside the corpus, ids outside the vocabulary, inputs that cannot be read.
pub(super) fn make_plan(config: &LabelConfig, inputs: &LabelInputs) -> Result<Plan, LabelError> {
    let known = known_plan(&config.output)?;
    let teacher = plan_teacher(inputs, known.as_ref())?;
    let tokenizer = inputs.tokenizer.clone();
    let plan = assemble(config, &inputs.corpus, tokenizer, teacher, known.as_ref())?;
    if known
        .as_ref()
        .is_none_or(|known| known.differing_field(&plan).is_some())
    {
        check_token_ids(config, inputs, &plan)?;
    }
    plan.validate()?;
    Ok(plan)
}

/// The plan of labels by `teacher`.
pub(super) fn assemble(
    config: &LabelConfig,
    corpus: &TokenCorpus,
    tokenizer: Option<PlanTokenizer>,
    teacher: PlanTeacher,
    known: Option<&Plan>,
) -> Result<Plan, LabelError> {
    let view = view_of(corpus, config)?;
    let range = sequence_range(config.range, view.len())?;
    let signals = config.plan_signals();
    let corpus = plan_corpus(config.options.eod, corpus, known)?;
    let mut sequences = plan_sequences(config, &view, range);
    sequences.selection = plan_selection(config, &corpus, &sequences)?;
    let mut plan = Plan {
        format_version: FORMAT_VERSION,
        required_features: required_features(config, &teacher),
        created_by: format!("saltworks {}", env!("CARGO_PKG_VERSION")),
        teacher,
        corpus,
        tokenizer,
        sequences,
        layout: layout(config, &view, &signals),
        signals,
    };
    plan.layout = plan.layout.clone().for_sequences(plan.n_sequences());
    plan.sequences.n_targets = n_targets(&view, &plan);
    Ok(plan)
}

fn sequence_range(asked: SequenceRange, n_total: u64) -> Result<Range<u64>, LabelError> {
    match asked {
        SequenceRange::All => Ok(0..n_total),
        SequenceRange::First(n) => Ok(0..n.min(n_total)),
        SequenceRange::Between(start, end) if end <= n_total => Ok(start..end),
        SequenceRange::Between(start, end) => Err(LabelError::option(
            "--sequences",
            format!("a range within 0..{n_total}, the corpus' sequences"),
            format!("{start}..{end}"),
        )),
    }
}

fn layout(config: &LabelConfig, view: &SequenceView<'_>, signals: &PlanSignals) -> Layout {
    let mean_targets = view.n_targets() as f64 / view.len() as f64;
    let chosen = Layout::choose(mean_targets, signals, config.options.shard_bytes);
    Layout {
        order_seed: config.options.order_seed.seed(),
        zstd_level: config.options.zstd_level,
        ..chosen
    }
}

fn required_features(config: &LabelConfig, teacher: &PlanTeacher) -> Vec<String> {
    let features = [
        (SAMPLES_FEATURE, config.sampling.is_some()),
        (SELECTION_FEATURE, config.options.selection.is_some()),
        (
            IMPOSSIBLE_TARGETS_FEATURE,
            config.options.allow_impossible_targets,
        ),
        (ENGINE_FEATURE, teacher.engine.is_some()),
    ];
    let required = features.into_iter().filter(|(_, is_required)| *is_required);
    required.map(|(feature, _)| feature.to_owned()).collect()
}

/// What the selection keeps of the range, compared with the corpus and how it is divided. If a selection does not
/// record which sequences it covers, only their numbers are checked.
fn plan_selection(
    config: &LabelConfig,
    corpus: &PlanCorpus,
    sequences: &PlanSequences,
) -> Result<Option<PlanSelection>, LabelError> {
    let Some(path) = &config.options.selection else {
        return Ok(None);
    };
    if !storage::exists(path)? {
        let got = format!("{}, which does not exist", path.display());
        let expected = "a file that `saltworks select` wrote";
        return Err(LabelError::option("--selection", expected, got));
    }
    let selection = Selection::read(path, sequences.n_total)?;
    selection.check_view(path, &ViewIdentity::new(corpus, sequences))?;
    let range = sequences.start..sequences.end;
    let planned = PlanSelection::new(selection.kept, range.clone());
    if planned.n_rows > 0 {
        return Ok(Some(planned));
    }
    Err(LabelError::option(
        "--selection",
        "a file that keeps some of the sequences to be labelled",
        format!(
            "{}, which keeps {} sequences, but none of {}..{}",
            path.display(),
            planned.n_kept,
            range.start,
            range.end
        ),
    ))
}

fn plan_sequences(
    config: &LabelConfig,
    view: &SequenceView<'_>,
    range: Range<u64>,
) -> PlanSequences {
    // Both packings count positions from 0 to the sequence's end: documents packed by themselves
    // have no boundary inside a sequence.
    let attention = match config.options.packing {
        Packing::Concat => Attention::Full,
        Packing::Document => Attention::Document,
    };
    PlanSequences {
        seq_len: config.seq_len,
        packing: config.options.packing,
        attention,
        positions: Positions::Continuous,
        sequence_bos: config.options.sequence_bos,
        n_total: view.len(),
        start: range.start,
        end: range.end,
        // Counted once it is known which of them are labelled.
        n_targets: 0,
        selection: None,
    }
}

/// Predicted positions of what `plan` labels.
pub(super) fn n_targets(view: &SequenceView<'_>, plan: &Plan) -> u64 {
    if plan.n_sequences() == view.len() {
        return view.n_targets();
    }
    let seq_ids = plan.seq_ids();
    seq_ids
        .map(|seq_id| u64::from(view.n_targets_of(seq_id)))
        .sum()
}

fn plan_teacher(inputs: &LabelInputs, known: Option<&Plan>) -> Result<PlanTeacher, LabelError> {
    let mut paths = vec![inputs.model.path.clone()];
    let beside = |file: &PathBuf| inputs.model.path.with_file_name("").join(file);
    paths.extend(inputs.teacher.signature().external_files.iter().map(beside));
    paths[1..].sort();
    let known = known.map_or(&[][..], |plan| &plan.teacher.files);
    let files = identify(&paths, &[known, &inputs.model.files].concat())?;
    Ok(PlanTeacher {
        fingerprint: fingerprint(&files),
        files,
        vocab_size: inputs.vocab_size,
        logits_dtype: inputs.teacher.info().logits_dtype.to_string(),
        logits_output: inputs.teacher.signature().logits.name.clone(),
        allowed: inputs.allowed.clone(),
        ignored_tokenizer: inputs.provenance.ignored_tokenizer.clone(),
        checkpoint: inputs.model.checkpoint.clone(),
        engine: None,
    })
}

fn plan_corpus(
    eod: Option<u32>,
    corpus: &TokenCorpus,
    known: Option<&Plan>,
) -> Result<PlanCorpus, LabelError> {
    let known = known.map_or(&[][..], |plan| &plan.corpus.files);
    let files = identify_corpus(corpus, known)?;
    corpus.check_hashes(files.iter().map(|file| file.blake3.as_str()))?;
    let is_front = |position: &EodPosition| *position == EodPosition::Front;
    Ok(PlanCorpus {
        format: corpus.format(),
        dtype: corpus.explicit_dtype(),
        eod,
        eod_position: corpus.eod_position().filter(is_front),
        padding: corpus.padding().cloned(),
        fingerprint: fingerprint(&files),
        files,
        n_tokens: corpus.n_tokens(),
        n_documents: corpus.n_documents(),
    })
}

/// Reads the token files whole, and compares them with `planned` and `corpus.json`; samples alone would miss a change
/// of some blocks. For a file in a store that is read in blocks, the hash in `corpus.json` is trusted, since every
/// block read is checked against it.
///
/// # Errors
/// A file that changed; a different corpus is for the caller to report.
pub(super) fn check_tokens_whole(
    corpus: &TokenCorpus,
    planned: &PlanCorpus,
) -> Result<(), LabelError> {
    let hashes = corpus.file_hashes()?;
    let same_number = hashes.len() == planned.files.len();
    let compared = corpus.files().iter().zip(&hashes).zip(&planned.files);
    let changed = compared
        .clone()
        .find(|((_, hash), file)| hash.blake3 != file.blake3);
    let is_same_corpus =
        |((_, hash), file): ((_, &storage::FileHash), &PlanFile)| hash.bytes == file.bytes;
    if let Some(((path, _), _)) = changed
        && same_number
        && compared.clone().all(is_same_corpus)
    {
        return Err(LabelError::ChangedTokens { path: path.clone() });
    }
    Ok(corpus.check_hashes(hashes.iter().map(|hash| hash.blake3.as_str()))?)
}

/// Checks that nobody wrote to the token files since they were opened. A file of which only the time differs is
/// compared with the plan by samples, or as a whole.
///
/// # Errors
/// [`LabelError::ChangedTokens`].
pub(super) fn check_tokens_untouched(
    corpus: &TokenCorpus,
    planned: &PlanCorpus,
    whole: bool,
) -> Result<(), LabelError> {
    let Some(touched) = corpus.modified_file()? else {
        return Ok(());
    };
    let is_same = |(path, file): (&PathBuf, &PlanFile)| -> Result<bool, LabelError> {
        Ok(match whole {
            true => storage::hash_file(path)?.blake3 == file.blake3,
            false => storage::sampled_blake3(path)? == file.sampled_blake3,
        })
    };
    for pair in corpus.files().iter().zip(&planned.files) {
        if !is_same(pair)? {
            let path = touched.to_path_buf();
            return Err(LabelError::ChangedTokens { path });
        }
    }
    Ok(())
}

/// The tokens that the range of `plan` covers.
pub(super) fn token_range(
    config: &LabelConfig,
    corpus: &TokenCorpus,
    plan: &Plan,
) -> Result<Range<u64>, LabelError> {
    let view = view_of(corpus, config)?;
    let start = view.token_offset(plan.sequences.start);
    let last = plan.sequences.end - 1;
    let end = view.token_offset(last) + u64::from(view.n_targets_of(last)) + 1;
    Ok(start..end.min(corpus.n_tokens()))
}

/// Ids outside the vocabulary would be found in the middle of the work; this finds them before.
fn check_token_ids(
    config: &LabelConfig,
    inputs: &LabelInputs,
    plan: &Plan,
) -> Result<(), LabelError> {
    let corpus = &inputs.corpus;
    let range = token_range(config, corpus, plan)?;
    let n_ids = inputs
        .tokenizer
        .as_ref()
        .map_or(0, |known| known.vocab_size);
    let checked = corpus.check_ids(range.clone(), inputs.vocab_size);
    if let (true, Err(TokensError::TokenPastVocab { id, .. })) =
        (n_ids > inputs.vocab_size, &checked)
        && *id < n_ids
    {
        return Err(ids_beyond_head(config, inputs.vocab_size, n_ids));
    }
    checked?;
    match &inputs.provenance.ids_of {
        Some((path, vocab_size)) if *vocab_size < inputs.vocab_size => {
            let past = |source: TokensError| LabelError::IdsPastTeachersTokenizer {
                path: path.clone(),
                vocab_size: *vocab_size,
                source: Box::new(source),
            };
            corpus.check_ids(range, *vocab_size).map_err(past)
        }
        _ => Ok(()),
    }
}
