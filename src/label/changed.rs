//! Maps a field of the plan to the option that determines it.

use super::error::LabelError;
use crate::shards::ShardsError;

/// Fields of the plan, or prefixes of them, each with its option. The first match counts.
const OPTIONS: &[(&str, &str)] = &[
    ("teacher.logits_output", "--logits-output"),
    ("teacher.allowed", "--allow-any-teacher"),
    ("teacher.ignored_tokenizer", "--ignore-teacher-tokenizer"),
    ("teacher.checkpoint.dialect", "--teacher-dialect"),
    ("teacher.checkpoint.weights", "--teacher-weights"),
    ("teacher.", "--teacher"),
    ("corpus.format", "--tokens-format"),
    ("corpus.eod_position", "--eod-position"),
    ("corpus.eod", "--eod"),
    ("corpus.dtype", "--dtype"),
    ("corpus.", "--tokens"),
    ("tokenizer", "--tokenizer"),
    ("sequences.seq_len", "--seq-len"),
    ("sequences.packing", "--packing"),
    ("sequences.attention", "--packing"),
    ("sequences.positions", "--packing"),
    ("sequences.sequence_bos", "--sequence-bos"),
    ("sequences.selection", "--selection"),
    ("sequences.n_total", "--tokens"),
    ("sequences.", "--sequences"),
    ("signals.groups", "--groups"),
    ("signals.top_k", "--top-k"),
    ("signals.temperatures", "--temperatures"),
    ("signals.rounding", "--round"),
    ("signals.mask_vocab_padding", "--mask-vocab-padding"),
    ("signals.impossible_targets", "--allow-impossible-targets"),
    ("signals.samples.n_draws", "--samples"),
    ("signals.samples.tau", "--samples-tau"),
    ("signals.samples.seed", "--samples-seed"),
    ("signals.samples", "--samples"),
    ("layout.order_seed", "--order-seed"),
    ("layout.zstd_level", "--zstd-level"),
    ("layout.", "--shard-bytes"),
];

/// The option that determines `field`, if it is a single one.
fn option_of(field: &str) -> Option<&'static str> {
    let found = OPTIONS.iter().find(|(start, _)| field.starts_with(start));
    found.map(|(_, option)| *option)
}

/// `error` with the changed option named, if the directory has another plan.
pub(super) fn name_option(error: ShardsError) -> LabelError {
    match error {
        ShardsError::PlanMismatch {
            dir,
            field,
            ours,
            theirs,
        } => match option_of(&field) {
            Some(option) => LabelError::ChangedOption {
                dir,
                option,
                field,
                ours: value(ours),
                theirs: value(theirs),
            },
            None => ShardsError::PlanMismatch {
                dir,
                field,
                ours,
                theirs,
            }
            .into(),
        },
        other => other.into(),
    }
}

/// JSON for display.
fn value(json: String) -> String {
    match json.as_str() {
        "null" => "none".to_owned(),
        _ => json,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_option_exists() {
        let command =
            <super::super::LabelOptions as clap::Args>::augment_args(clap::Command::new("label"));
        for (_, option) in OPTIONS {
            let long = option.trim_start_matches("--");
            let is_there = command
                .get_arguments()
                .any(|arg| arg.get_long() == Some(long));
            assert!(is_there, "{option}");
        }
    }

    #[test]
    fn the_longest_matching_prefix_wins() {
        assert_eq!(option_of("teacher.files.0.blake3"), Some("--teacher"));
        assert_eq!(option_of("signals.samples.tau"), Some("--samples-tau"));
        assert_eq!(option_of("tokenizer.fingerprint"), Some("--tokenizer"));
        assert_eq!(option_of("layout.rows_per_shard"), Some("--shard-bytes"));
        assert_eq!(option_of("format_version"), None);
    }
}
