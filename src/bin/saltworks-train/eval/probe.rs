//! `saltworks-train eval --probe`.

use super::{Args, shown};
use crate::common::exit::Result;
use crate::common::print::{self, out};
use crate::opened::{OpenedModel, check_memory, pool};
use saltworks::interrupt::Interrupt;
use saltworks::train::eval::{
    CopyOptions, CopyScore, copy_capacity, copy_distances, probe_copying, text_bytes_of_ids,
};
use saltworks::train::model::{Network, Params};
use serde_json::json;

/// What is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Probe {
    /// Segments of random ids, each repeated once.
    Copy,
}

/// Which probe, and how much of it.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Probe")]
pub(super) struct ProbeArgs {
    /// A probe instead of text. copy: NLL and accuracy of the second copy of a random segment, by its
    /// length: how well the model copies from its context.
    #[arg(long, value_name = "PROBE", conflicts_with_all = ["packing", "seq_len", "max_sequences"])]
    pub(super) probe: Option<Probe>,

    /// Lengths of the segment. Default: 8, 16, 32, … up to half of the model's longest sequence, and to
    /// 512.
    #[arg(long, value_name = "L,…", requires = "probe", conflicts_with_all = ["tokens", "text", "labels"], value_delimiter = ',')]
    distances: Vec<usize>,

    /// Sequences of each length.
    #[arg(long, value_name = "N", requires = "probe", conflicts_with_all = ["tokens", "text", "labels"], default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    probe_sequences: u32,

    /// Seed of the random ids.
    #[arg(long, value_name = "SEED", requires = "probe", conflicts_with_all = ["tokens", "text", "labels"], default_value_t = 0)]
    seed: u64,
}

/// Probes the model and prints what was found.
pub(super) fn run(
    args: &Args,
    opened: &OpenedModel,
    params: Params,
    interrupt: &Interrupt,
) -> Result<()> {
    let options = options(args, opened);
    let pool = pool(args.threads.threads)?;
    let n_threads = pool.current_num_threads();
    let capacity = copy_capacity(&opened.spec, &options, args.batch_tokens, n_threads)?;
    check_memory(
        &opened.spec,
        &capacity,
        "lower --batch-tokens or the largest of --distances",
    )?;
    let n_ids: usize = options.distances.iter().sum();
    let n_targets = 2 * n_ids as u64 * options.n_sequences as u64;
    let mut network = Network::new(params, capacity);
    let ids = ordinary_ids(opened);
    let scores = shown(&pool, n_targets, interrupt, |on_progress| {
        probe_copying(&mut network, &ids, &options, on_progress)
    })?;
    print(args, opened, &options, &scores)
}

fn options(args: &Args, opened: &OpenedModel) -> CopyOptions {
    let distances = match args.probe.distances.is_empty() {
        true => copy_distances(&opened.spec, args.sequence_bos),
        false => args.probe.distances.clone(),
    };
    CopyOptions {
        distances,
        n_sequences: args.probe.probe_sequences as usize,
        seed: args.probe.seed,
        sequence_bos: args.sequence_bos,
    }
}

/// The ids that stand for text; all where no tokenizer says which do.
fn ordinary_ids(opened: &OpenedModel) -> Vec<u32> {
    let vocab_size = opened.spec.vocab_size;
    let Some((tokenizer, _)) = &opened.tokenizer else {
        return (0..vocab_size as u32).collect();
    };
    let bytes_v = text_bytes_of_ids(tokenizer, vocab_size);
    (0..)
        .zip(bytes_v)
        .filter(|&(_, n)| n > 0)
        .map(|(id, _)| id)
        .collect()
}

fn print(
    args: &Args,
    opened: &OpenedModel,
    options: &CopyOptions,
    scores: &[CopyScore],
) -> Result<()> {
    if args.json.is_asked {
        let json = json!({
            "model": opened.place.display().to_string(),
            "probe": "copy",
            "seed": options.seed,
            "n_sequences": options.n_sequences,
            "sequence_bos": options.sequence_bos,
            "by_distance": scores,
        });
        print::json(&json, false)?;
        return Ok(());
    }
    out!("model        {}", opened.place.display());
    out!(
        "probe        copy: {} sequences of random ids of each length, each repeated once",
        options.n_sequences
    );
    out!();
    out!(
        "{:>8}  {:>8}  {:>14}  {:>15}  {:>8}",
        "distance",
        "targets",
        "NLL first copy",
        "NLL second copy",
        "accuracy"
    );
    for score in scores {
        out!(
            "{:>8}  {:>8}  {:>14.4}  {:>15.4}  {:>8.4}",
            score.distance,
            score.n_targets,
            score.first_nll_nats,
            score.repeated_nll_nats,
            score.repeated_accuracy
        );
    }
    Ok(())
}
