//! `--dry-run`: estimates the cost of labelling from a short real run into a temporary directory.

use super::error::LabelError;
use super::inputs::LabelInputs;
use super::options::LabelConfig;
use super::output::check_output;
use super::planning::{make_plan, n_targets};
use super::profile::Clock;
use super::progress::{Progress, Totals};
use super::run::make_shards;
use crate::checkpoint_graph::OnWork;
use crate::interrupt::Interrupt;
use crate::shards::{self, LabelSet, Plan};
use crate::storage::StorageError;
use crate::tokens::SequenceView;
use std::sync::Mutex;
use std::time::Instant;

/// Target duration of the probe; the first, short round only warms up.
const PROBE_SECONDS: f64 = 4.0;
/// Targets of the first round.
const FIRST_ROUND_TARGETS: u64 = 2048;

/// The cost of labelling.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// The plan as it would be written.
    pub plan: Plan,
    /// Targets labelled by the probe.
    pub n_targets_probed: u64,
    /// Targets per second, as measured.
    pub tokens_per_s: f64,
    /// Bytes per target in both files, as measured.
    pub bytes_per_token: f64,
    /// Notes for the user about the inputs.
    pub notes: Vec<String>,
}

impl Estimate {
    /// Seconds for the whole plan in one process.
    pub fn seconds(&self) -> f64 {
        self.plan.sequences.n_targets as f64 / self.tokens_per_s
    }

    /// Seconds per shard.
    pub fn seconds_per_shard(&self) -> f64 {
        self.seconds() / f64::from(self.plan.n_shards())
    }

    /// Bytes of the whole set.
    pub fn bytes(&self) -> f64 {
        self.plan.sequences.n_targets as f64 * self.bytes_per_token
    }
}

/// Makes a plan without writing it, and labels a few sequences to measure speed and size. `on_graph` is called before a
/// checkpoint's graph is made, if necessary.
///
/// # Errors
/// Those of labelling itself.
pub fn estimate(config: &LabelConfig, on_graph: OnWork<'_>) -> Result<Estimate, LabelError> {
    check_output(config)?;
    let mut inputs = LabelInputs::open(config, on_graph)?;
    let plan = make_plan(config, &inputs)?;
    let mean_targets = plan.sequences.n_targets as f64 / plan.n_sequences() as f64;
    let rows = |targets: f64| ((targets / mean_targets) as u64).clamp(1, plan.n_sequences());
    let warm_up = probe(config, &mut inputs, &plan, rows(FIRST_ROUND_TARGETS as f64))?;
    let measured = probe(
        config,
        &mut inputs,
        &plan,
        rows(warm_up.tokens_per_s * PROBE_SECONDS),
    )?;
    Ok(measured)
}

/// Labels the first `n_rows` sequences of the plan's range in a temporary directory.
fn probe(
    config: &LabelConfig,
    inputs: &mut LabelInputs,
    plan: &Plan,
    n_rows: u64,
) -> Result<Estimate, LabelError> {
    let temporary = tempfile::tempdir().map_err(|source| {
        StorageError::io("create a directory in", &std::env::temp_dir(), source)
    })?;
    let config = LabelConfig {
        output: temporary.path().join("probe"),
        ..config.clone()
    };
    let part = first_rows(plan, n_rows, &inputs.view(&config)?);
    let selection = config.options.selection.as_deref();
    let opened = LabelSet::create_or_match(&config.output, &part, selection)?;
    let part = opened.plan();
    let todo: Vec<u32> = part.shards().collect();
    let progress = Mutex::new(Progress::start(Totals::default(), &|_| ()));
    let started = Instant::now();
    let (interrupt, clock) = (Interrupt::new(), Clock::start());
    make_shards(&config, inputs, part, &todo, &interrupt, &progress, &clock)?;
    let seconds = started.elapsed().as_secs_f64();
    let manifest = shards::finalize(&config.output, true)?;
    Ok(Estimate {
        plan: plan.clone(),
        n_targets_probed: manifest.n_targets,
        tokens_per_s: manifest.n_targets as f64 / seconds,
        bytes_per_token: manifest.n_bytes as f64 / manifest.n_targets as f64,
        notes: inputs.notes.clone(),
    })
}

/// The plan, restricted to its first `n_rows` sequences.
fn first_rows(plan: &Plan, n_rows: u64, view: &SequenceView<'_>) -> Plan {
    let mut part = plan.clone();
    if let Some(after) = plan.nth_sequence(n_rows) {
        part.sequences.end = after;
    }
    if let Some(selection) = &mut part.sequences.selection {
        selection.n_rows = selection.n_rows.min(n_rows);
    }
    part.sequences.n_targets = n_targets(view, &part);
    part.layout = plan.layout.clone().for_sequences(part.n_sequences());
    part
}
