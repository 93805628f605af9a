//! `saltworks inspect`: one row, readable.

use crate::common::arguments::Json;
use crate::common::exit::Result;
use crate::common::print;
use crate::terminal;
use saltworks::shards::{LabelSet, Row};
use saltworks::tokens::Tokenizer;
use saltworks::view::report::matching_tokenizer;
use saltworks::view::{RowChoice, TokenNames, coloured_text, describe_row, read_row, render_row};
use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

const EXAMPLES: &str = "\
Examples:
  saltworks inspect labels --row 3
  saltworks inspect labels --seq-id 17 --positions 0..64 --alternatives 8";

/// Show one row as text.
///
/// Prints the decoded text, coloured by how surprising each token was to the teacher. For a range of
/// positions it prints each token with its probability, rank, entropy, the teacher's top alternatives,
/// and sampled ids.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Directory of labels, or its URL.
    #[arg(value_name = "LABELS|URL")]
    labels: PathBuf,
    /// Index of the row, counted from 0 over all shards in order [default: 0].
    #[arg(
        long,
        help_heading = "What is shown",
        value_name = "N",
        conflicts_with = "seq_id"
    )]
    row: Option<u64>,
    /// The row with this seq_id.
    #[arg(long, help_heading = "What is shown", value_name = "I")]
    seq_id: Option<u64>,
    /// Positions to show one by one, as offsets in the sequence.
    #[arg(
        long,
        help_heading = "What is shown",
        value_name = "A..B",
        default_value = "0..32"
    )]
    positions: PositionRange,
    /// Alternatives, and sampled ids, to show for each token; a terminal shows as many as fit.
    #[arg(
        long,
        help_heading = "What is shown",
        value_name = "N",
        default_value_t = 5
    )]
    alternatives: usize,
    /// The tokenizer.json that the tokens were made with. Default: the one next to plan.json;
    /// without one, ids are shown.
    #[arg(long, help_heading = "Inputs", value_name = "FILE|URL")]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
}

/// `A..B`, `A..`, `..B` or `..`.
#[derive(Debug, Clone, PartialEq)]
struct PositionRange(Range<usize>);

impl FromStr for PositionRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let explained = || format!("expected A..B with A below B, such as 0..32, got {text:?}");
        let (start, end) = text.split_once("..").ok_or_else(explained)?;
        let bound = |part: &str, open: usize| match part {
            "" => Ok(open),
            digits => digits.parse().map_err(|_| explained()),
        };
        let range = bound(start, 0)?..bound(end, usize::MAX)?;
        if range.is_empty() {
            Err(explained())
        } else {
            Ok(PositionRange(range))
        }
    }
}

pub(crate) fn run(args: Args) -> Result<()> {
    let set = LabelSet::open(&args.labels)?;
    let choice = match args.seq_id {
        Some(seq_id) => RowChoice::SeqId(seq_id),
        None => RowChoice::Nth(args.row.unwrap_or(0)),
    };
    let (row, plan) = read_row(&set, choice)?;
    match args.tokenizer.clone().or(set.tokenizer_path()?) {
        Some(path) => show_decoded(&args, &row, &matching_tokenizer(&path, plan)?),
        None => show_ids(&args, &row),
    }
}

fn show_decoded(args: &Args, row: &Row, tokenizer: &Tokenizer) -> Result<()> {
    let text = |id| tokenizer.token_text(id);
    let bytes = |id| {
        tokenizer
            .token_bytes(id)
            .unwrap_or_else(|| text(id).into_bytes())
    };
    let decode = |ids: &[u32]| tokenizer.decode(ids);
    show(
        args,
        row,
        TokenNames {
            text: &text,
            bytes: &bytes,
            decode: &decode,
        },
    )
}

fn show_ids(args: &Args, row: &Row) -> Result<()> {
    let text = |id: u32| format!("<{id}>");
    let bytes = |id: u32| text(id).into_bytes();
    let decode = |ids: &[u32]| ids.iter().copied().map(text).collect();
    show(
        args,
        row,
        TokenNames {
            text: &text,
            bytes: &bytes,
            decode: &decode,
        },
    )
}

fn show(args: &Args, row: &Row, names: TokenNames<'_>) -> Result<()> {
    let view = describe_row(row, args.positions.0.clone(), args.alternatives, names);
    if args.json.print(&view)? {
        return Ok(());
    }
    print::styled(&render_row(
        &view,
        &coloured_text(row, names),
        terminal::width(),
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_may_be_open_at_either_end() {
        let parse = |text: &str| text.parse::<PositionRange>().map(|range| range.0);
        assert_eq!(parse("3..7"), Ok(3..7));
        assert_eq!(parse("..7"), Ok(0..7));
        assert_eq!(parse("3.."), Ok(3..usize::MAX));
        assert!(parse("7..3").is_err());
        assert!(parse("7").is_err());
        assert!(parse("a..b").unwrap_err().contains("such as 0..32"));
    }
}
