//! `README.md` of a label directory: describes the labels for people, and tells the `datasets` library and hubs that
//! display data sets which files are data. Without it they take sidecars for data.

use super::columns::FileKind;
use super::label_set::LabelSet;
use super::manifest::Manifest;
use super::names::{CARD_NAME, SELECTION_NAME, TOKENIZER_NAME};
use super::plan::{Group, Plan, PlanFile};
use super::{ShardsError, json};
use crate::storage;
use std::path::Path;

/// A card with this line is rewritten with every manifest; any other is the user's own.
const MARK: &str = "<!-- Written by `saltworks finalize`, which writes it anew when the labels grow. Remove this line to keep changes of yours. -->";

/// Who owns the card of a label directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CardState {
    /// There is none.
    Absent,
    /// It is rewritten with every manifest.
    Ours,
    /// The user's own, which is left alone.
    Theirs,
}

/// Who owns the card in `dir`.
///
/// # Errors
/// A card that cannot be read.
pub fn card_state(dir: &Path) -> Result<CardState, ShardsError> {
    let card = json::read_if_exists(&dir.join(CARD_NAME))?;
    Ok(match card {
        None => CardState::Absent,
        Some(card) => match has_mark(&card) {
            true => CardState::Ours,
            false => CardState::Theirs,
        },
    })
}

fn has_mark(card: &[u8]) -> bool {
    card.windows(MARK.len())
        .any(|window| window == MARK.as_bytes())
}

/// Writes the card of a finished set, unless the user's own is there.
pub(super) fn write(set: &LabelSet, manifest: &Manifest) -> Result<(), ShardsError> {
    let path = set.dir.join(CARD_NAME);
    let has_tokenizer = storage::exists(&set.dir.join(TOKENIZER_NAME))?;
    let card = card(set, manifest, has_tokenizer);
    match json::read_if_exists(&path)? {
        Some(existing) if existing == card.as_bytes() || !has_mark(&existing) => Ok(()),
        _ => Ok(storage::replace(&path, card.as_bytes())?),
    }
}

fn card(set: &LabelSet, manifest: &Manifest, has_tokenizer: bool) -> String {
    let plan = &set.segments[0];
    [
        front_matter(plan),
        MARK.to_owned(),
        heading(plan, manifest),
        facts(set, plan, manifest, has_tokenizer),
        CREDIT.to_owned(),
        reading(plan),
    ]
    .join("\n\n")
        + "\n"
}

/// What the `datasets` library and hubs read.
fn front_matter(plan: &Plan) -> String {
    let kinds: &[FileKind] = match plan.signals.has_positions() {
        true => &[FileKind::Positions, FileKind::Scores],
        false => &[FileKind::Scores],
    };
    let configs = kinds.iter().enumerate().map(|(i, kind)| {
        let name = kind.dir();
        let default = if i == 0 { "\n  default: true" } else { "" };
        format!("- config_name: {name}\n  data_files: {name}/*.parquet{default}")
    });
    let configs: Vec<String> = configs.collect();
    format!("---\nconfigs:\n{}\n---", configs.join("\n"))
}

fn heading(plan: &Plan, manifest: &Manifest) -> String {
    let stored = match plan.signals.has_positions() {
        true => {
            "`positions/` has one row per sequence with lists over its positions, `scores/` one row per sequence with its selection scores."
        }
        false => {
            "`scores/` has one row per sequence with its selection scores; no positions were stored."
        }
    };
    format!(
        "# Labels of a language model\n\n\
         What one language model, the teacher, predicts at every position of a tokenized text: {} sequences, {} predicted \
         positions, {} bytes of Parquet. {stored} Sequences are numbered by `seq_id`.",
        manifest.n_rows, manifest.n_targets, manifest.n_bytes
    )
}

fn facts(set: &LabelSet, plan: &Plan, manifest: &Manifest, has_tokenizer: bool) -> String {
    let mut rows = source_facts(plan, has_tokenizer);
    rows.extend(sequence_facts(set, plan));
    rows.extend(signal_facts(plan));
    let runtimes = joined(manifest.runtimes.iter(), "; ");
    rows.push(("made by", code(&runtimes)));
    let rows = rows
        .into_iter()
        .map(|(what, value)| format!("| {what} | {value} |"));
    format!("| | |\n| --- | --- |\n{}", joined(rows, "\n"))
}

type Facts = Vec<(&'static str, String)>;

fn source_facts(plan: &Plan, has_tokenizer: bool) -> Facts {
    let of_files = |files: String, fingerprint: &str| format!("{files}, {}", code(fingerprint));
    let corpus = &plan.corpus;
    vec![
        (
            "teacher",
            of_files(teacher(plan), &plan.teacher.fingerprint),
        ),
        ("vocabulary", format!("{} ids", plan.teacher.vocab_size)),
        ("tokenizer", tokenizer(plan, has_tokenizer)),
        (
            "corpus",
            of_files(names(&corpus.files), &corpus.fingerprint),
        ),
    ]
}

fn sequence_facts(set: &LabelSet, plan: &Plan) -> Facts {
    let sequences = &plan.sequences;
    let ranges = set.segments.iter().map(|plan| {
        let range = &plan.sequences;
        format!("{}..{}", range.start, range.end)
    });
    let packing = format!(
        "{}, attention {}, positions {}",
        word(&sequences.packing),
        word(&sequences.attention),
        word(&sequences.positions)
    );
    let mut rows = vec![
        (
            "sequences",
            format!("{} of {}", joined(ranges, ", "), sequences.n_total),
        ),
        (
            "T, predicted positions of a full sequence",
            sequences.seq_len.to_string(),
        ),
        ("packing", packing),
    ];
    if let Some(selection) = &sequences.selection {
        let n_kept = selection.n_kept;
        let kept = format!("{n_kept} sequences that `{SELECTION_NAME}` keeps");
        rows.push(("only a selection", kept));
    }
    rows
}

fn signal_facts(plan: &Plan) -> Facts {
    let signals = &plan.signals;
    let mut rows = vec![("groups", word(&signals.groups))];
    if signals.has(Group::Topk) {
        let temperatures = std::iter::once(1.0).chain(signals.temperatures.iter().copied());
        rows.push(("K, ids kept at each position", signals.top_k.to_string()));
        rows.push(("temperatures", joined(temperatures, ", ")));
        rows.push((
            "rounding of kept log-probabilities",
            word(&signals.rounding),
        ));
    }
    if let Some(samples) = &signals.samples {
        let (n, tau) = (samples.n_draws, samples.tau);
        rows.push(("samples", format!("{n} per position at temperature {tau}")));
    }
    rows
}

fn joined<T: ToString>(items: impl Iterator<Item = T>, between: &str) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    items.join(between)
}

fn tokenizer(plan: &Plan, has_tokenizer: bool) -> String {
    let beside = match has_tokenizer {
        true => format!("`{TOKENIZER_NAME}`, "),
        false => String::new(),
    };
    match &plan.tokenizer {
        Some(tokenizer) => format!("{beside}{}", code(&tokenizer.fingerprint)),
        None => "not known".to_owned(),
    }
}

const CREDIT: &str = "## Credit and licence\n\n\
     If you share these labels, credit the teacher, the text and the tokenizer that they were made from, as their \
     licences require. The licences are not recorded with these files. If there is a `positions/`, the labels \
     contain the text itself, as token ids.";

fn reading(plan: &Plan) -> String {
    let (config, column) = match plan.signals.has_positions() {
        true => ("positions", "input_ids"),
        false => ("scores", "score_mean_nll"),
    };
    format!(
        "## Reading\n\n\
         ```python\nimport pyarrow.parquet as pq\n\n\
         part = pq.ParquetFile(\"{config}/part-00000.parquet\")\n\
         rows = part.read_row_group(0, columns=[\"seq_id\", \"{column}\"])\n```\n\n\
         ```sql\nSELECT count(*), avg(score_mean_nll) FROM 'scores/*.parquet';\n```\n\n\
         ```python\nfrom datasets import load_dataset\n\n\
         labels = load_dataset(\".\", \"{config}\", split=\"train\")  # a directory, or a repository of a hub\n```\n\n\
         Lists of T * K values are flat: the K values of position t begin at item t * K. Kept log-probabilities are \
         rounded, so their probabilities may add up to more than 1: take the mass outside them from `tail_mass`, not \
         from their sum. \
         `plan.json` says how the labels were made, `manifest.json` has the size and BLAKE3 of every file, and \
         `saltworks verify` checks them."
    )
}

/// The files of the model, or the engine that ran it.
fn teacher(plan: &Plan) -> String {
    match &plan.teacher.engine {
        None => names(&plan.teacher.files),
        Some(engine) => code(&format!(
            "{} by {} {}",
            engine.model, engine.name, engine.version
        )),
    }
}

fn names(files: &[PlanFile]) -> String {
    joined(files.iter().map(|file| code(&file.name)), ", ")
}

/// Text from outside, as code in one table cell.
fn code(text: &str) -> String {
    let visible = |c: char| match c {
        '`' | '|' | '<' | '>' | '\\' => format!("\\u{{{:x}}}", c as u32),
        c if c.is_control() || !c.is_ascii() && !c.is_alphanumeric() => {
            format!("\\u{{{:x}}}", c as u32)
        }
        c => c.to_string(),
    };
    format!("`{}`", text.chars().map(visible).collect::<String>())
}

/// A value as the plan spells it.
fn word<T: serde::Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        Ok(serde_json::Value::Array(words)) => {
            let words = words.iter().map(|word| word.as_str().unwrap_or_default());
            words.collect::<Vec<_>>().join(", ")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
