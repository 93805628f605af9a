//! Facts about how a label set was made.

use super::selection::SelectionRows;
use crate::page::{fixed, grouped};
use crate::shards::{LabelSet, Manifest, Plan, ShardsError};

/// Names and values, in order, followed by those of a selection, if there is one.
pub(crate) fn label_facts(
    set: &LabelSet,
    selection: Option<SelectionRows>,
) -> Result<Vec<(String, String)>, ShardsError> {
    // The segments differ only in their ranges.
    let plan = &set.segments[0];
    let plans = set
        .segments
        .iter()
        .map(Plan::fingerprint)
        .collect::<Vec<_>>();
    let mut facts = vec![
        ("Labels", set.dir.display().to_string()),
        ("Plan of the labels", plans.join(", ")),
        ("Planned by", plan.created_by.clone()),
    ];
    if let Some(manifest) = Manifest::read(&set.dir)? {
        let runtimes = manifest.runtimes.iter().map(ToString::to_string);
        facts.push(("Labelled by", runtimes.collect::<Vec<_>>().join("; ")));
    }
    facts.extend(teacher_facts(plan));
    facts.extend(text_facts(set, plan));
    facts.extend(signal_facts(plan));
    let selected = selection.into_iter().flat_map(|selection| selection.facts);
    let selected = selected.map(|(name, value)| (format!("Selection: {name}"), value));
    let facts = facts
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Ok(facts.chain(selected).collect())
}

fn teacher_facts(plan: &Plan) -> Vec<(&'static str, String)> {
    let teacher = &plan.teacher;
    let files = teacher.files.iter();
    let files = files.map(|file| format!("{} ({} bytes)", file.name, grouped(file.bytes)));
    vec![
        ("Teacher", teacher.fingerprint.clone()),
        (
            "Teacher\u{2019}s files",
            files.collect::<Vec<_>>().join(", "),
        ),
        (
            "Teacher\u{2019}s logits",
            format!(
                "{} as {}, V = {}",
                teacher.logits_output, teacher.logits_dtype, teacher.vocab_size
            ),
        ),
    ]
}

fn text_facts(set: &LabelSet, plan: &Plan) -> Vec<(&'static str, String)> {
    let (corpus, sequences) = (&plan.corpus, &plan.sequences);
    let mut facts = Vec::new();
    if let Some(tokenizer) = &plan.tokenizer {
        facts.push((
            "Tokenizer",
            format!("{}, {} ids", tokenizer.fingerprint, tokenizer.vocab_size),
        ));
    }
    let ranges = set.segments.iter().map(|plan| &plan.sequences);
    let ranges = ranges.map(|sequences| format!("{} to {}", sequences.start, sequences.end));
    let selection = match &sequences.selection {
        Some(selection) => format!(", of which a selection keeps {}", grouped(selection.n_kept)),
        None => String::new(),
    };
    facts.extend([
        (
            "Tokens",
            format!(
                "{}: {} tokens in {} documents",
                corpus.fingerprint,
                grouped(corpus.n_tokens),
                grouped(corpus.n_documents)
            ),
        ),
        (
            "Sequences",
            format!(
                "{} of {}{selection}; T = {}, packing {}, attention {}, positions {}",
                ranges.collect::<Vec<_>>().join(", "),
                grouped(sequences.n_total),
                sequences.seq_len,
                word(&sequences.packing),
                word(&sequences.attention),
                word(&sequences.positions)
            ),
        ),
    ]);
    facts
}

fn signal_facts(plan: &Plan) -> Vec<(&'static str, String)> {
    let signals = &plan.signals;
    let groups = signals.groups.iter().map(word).collect::<Vec<_>>();
    let mut stored = vec![groups.join(", ")];
    if signals.top_k > 0 {
        stored.push(format!(
            "K = {}, rounded to {}",
            signals.top_k,
            word(&signals.rounding)
        ));
    }
    if !signals.temperatures.is_empty() {
        let taus = signals.temperatures.iter().map(ToString::to_string);
        stored.push(format!(
            "also for tau {}",
            taus.collect::<Vec<_>>().join(", ")
        ));
    }
    if let Some(samples) = &signals.samples {
        let (n, tau, seed) = (samples.n_draws, fixed(samples.tau, 2), samples.seed);
        stored.push(format!("N = {n} samples at tau {tau}, seed {seed}"));
    }
    let order = match plan.layout.order_seed {
        Some(seed) => format!("shuffled with seed {seed}"),
        None => "in the order of the text".to_owned(),
    };
    vec![("Stored", stored.join("; ")), ("Rows", order)]
}

/// A value as the plan spells it.
fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}
