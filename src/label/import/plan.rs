//! The plan of labels made by an engine.

use super::ImportSpec;
use crate::label::error::LabelError;
use crate::label::files::{identify, known_plan};
use crate::label::options::LabelConfig;
use crate::label::planning;
use crate::shards::{Group, Plan, PlanTeacher, PlanTokenizer};
use crate::storage;
use crate::tokens::TokenCorpus;

/// As `planning` makes one for an ONNX teacher.
pub(super) fn make_plan(
    spec: &ImportSpec,
    config: &LabelConfig,
    corpus: &TokenCorpus,
    tokenizer: Option<PlanTokenizer>,
) -> Result<Plan, LabelError> {
    check_vocabulary(spec, config, tokenizer.as_ref())?;
    let known = known_plan(&config.output)?;
    let teacher = plan_teacher(spec, known.as_ref())?;
    let plan = planning::assemble(config, corpus, tokenizer, teacher, known.as_ref())?;
    if known.is_none_or(|known| known.differing_field(&plan).is_some()) {
        let range = planning::token_range(config, corpus, &plan)?;
        corpus.check_ids(range, spec.vocab_size)?;
    }
    plan.validate()?;
    Ok(plan)
}

fn plan_teacher(spec: &ImportSpec, known: Option<&Plan>) -> Result<PlanTeacher, LabelError> {
    let files = identify(
        &spec.model_files,
        known.map_or(&[], |plan| &plan.teacher.files),
    )?;
    let engine = &spec.engine;
    let named = [&engine.name, &engine.version, &engine.model];
    let hashes = files.iter().map(|file| &file.blake3);
    let identity = named.into_iter().chain(hashes).map(String::as_str);
    Ok(PlanTeacher {
        fingerprint: storage::fingerprint_of(identity),
        files,
        vocab_size: spec.vocab_size,
        logits_dtype: spec.logits_dtype.clone(),
        logits_output: "logits".to_owned(),
        allowed: Vec::new(),
        ignored_tokenizer: None,
        checkpoint: None,
        engine: Some(spec.engine.clone()),
    })
}

fn check_vocabulary(
    spec: &ImportSpec,
    config: &LabelConfig,
    tokenizer: Option<&PlanTokenizer>,
) -> Result<(), LabelError> {
    if let Some(known) = tokenizer.filter(|known| spec.vocab_size > known.vocab_size) {
        let expected = format!(
            "at most the {} ids of the tokenizer of the tokens: leave out logits past them before the softmax",
            known.vocab_size
        );
        return Err(LabelError::option("vocab_size", expected, spec.vocab_size));
    }
    if config.groups.contains(&Group::Topk) && config.options.top_k > spec.vocab_size {
        let expected = format!("at most the vocabulary of {}", spec.vocab_size);
        return Err(LabelError::option("top_k", expected, config.options.top_k));
    }
    Ok(())
}
