//! Sums over blocks of sequences, and the figures that follow from them.

use super::blocks::{Blocks, Extent};
use super::error::BoundsError;
use super::estimate::Estimate;
use super::figures::{DivergenceBounds, EntropyBucket, NllBucket, TeacherFigures};
use super::mass::TopMass;
use super::terciles::{Terciles, tercile_of};
use crate::shards::{Group, LabelSet, Row, ShardReader};

const ENTROPY_NAMES: [&str; 3] = ["low", "middle", "high"];
const NLL_NAMES: [&str; 3] = ["easy", "medium", "hard"];

/// Accumulates rows of one set; memory does not grow with their number.
#[derive(Debug, Clone)]
pub struct TeacherCollector {
    score_k: u32,
    /// `None` without the groups `stats` and `topk`.
    top: Option<TopMass>,
    /// `None` without the group `stats`.
    boundaries: Option<Boundaries>,
    n_sequences: u64,
    n_without_nll: u64,
    blocks: Blocks,
    /// One per block.
    sums: Vec<Block>,
}

/// Boundaries between the thirds, in nats.
#[derive(Debug, Clone, Copy)]
struct Boundaries {
    entropy: [f64; 2],
    nll: [f64; 2],
}

/// Sums over the sequences of one block.
#[derive(Debug, Clone, Default)]
struct Block {
    /// From the scores.
    scored: Sums,
    /// From the positions, by thirds of the entropy.
    by_entropy: [Sums; 3],
    /// From the positions, by thirds of the NLL.
    by_nll: [Sums; 3],
}

/// Sums over positions.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    n: u64,
    nll: f64,
    hits: f64,
    mass: f64,
    /// 1 - T(y).
    missed: f64,
    /// Positions whose target is the teacher's top id.
    best: f64,
    /// Maximum error of `mass` from rounding.
    rounding: f64,
}

/// Reads every finished shard of `set`. The lower bound uses the `k` top ids, or by default all that are
/// stored: their mass is one minus the tail mass, which the rounding of log-probabilities does not affect.
/// `on_row_group` is called with the number of positions read so far.
///
/// # Errors
/// A damaged shard; a set without a finished shard; a `k` that the set does not store.
pub fn teacher_figures(
    set: &LabelSet,
    k: Option<u32>,
    mut on_row_group: impl FnMut(u64),
) -> Result<TeacherFigures, BoundsError> {
    let mut collector = TeacherCollector::new(set, k)?;
    let mut n_targets = 0;
    for (plan, shard) in set.finished_shards()? {
        let groups = [Group::Stats, Group::Topk];
        for rows in ShardReader::open_checked(&set.dir, plan, shard, &groups)? {
            for row in rows? {
                collector.add(&row);
                n_targets += u64::from(row.n_targets);
            }
            on_row_group(n_targets);
        }
    }
    // A finished shard has at least one row, and a row at least one position.
    let dir = set.dir.clone();
    collector
        .finish()
        .ok_or(BoundsError::NothingFinished { dir })
}

impl TeacherCollector {
    /// A collector for all or some rows of `set`. Reads the scores and the group `stats` of every finished
    /// shard, to find the bucket boundaries and the range of documents.
    ///
    /// # Errors
    /// As [`teacher_figures`].
    pub fn new(set: &LabelSet, k: Option<u32>) -> Result<Self, BoundsError> {
        let top = top_mass(set, k)?;
        let (blocks, boundaries) = survey(set)?;
        Ok(TeacherCollector {
            // The segments of a set differ only in their ranges.
            score_k: set.segments[0].signals.score_k,
            top,
            boundaries,
            n_sequences: 0,
            n_without_nll: 0,
            sums: vec![Block::default(); blocks.n],
            blocks,
        })
    }

    /// Adds a row.
    pub fn add(&mut self, row: &Row) {
        if !row.scores.has_nll() {
            self.n_without_nll += 1;
            return;
        }
        self.n_sequences += 1;
        let block = &mut self.sums[self.blocks.block_of(row)];
        block.scored.add(&scored(row));
        let Some(boundaries) = self.boundaries else {
            return;
        };
        for t in 0..row.signals.target_logprob_t.len() {
            let position = position(row, t, self.top);
            let entropy = f64::from(row.signals.entropy_t[t]);
            block.by_entropy[tercile_of(entropy, boundaries.entropy)].add(&position);
            block.by_nll[tercile_of(position.nll, boundaries.nll)].add(&position);
        }
    }

    /// The figures of the rows so far; `None` if there were none.
    pub fn finish(&self) -> Option<TeacherFigures> {
        let all = self.over(Block::positions);
        let scored = self.over(|block| block.scored);
        let positions = self.boundaries.map(|_| &all);
        let by_topk = self
            .top
            .and_then(|top| all.bounds(top.k as u32, Some(&all)));
        Some(TeacherFigures {
            n_sequences: self.n_sequences,
            n_without_nll: self.n_without_nll,
            n_targets: scored.n(),
            blocks_of: self.blocks.of,
            n_blocks: scored.0.iter().filter(|sums| sums.n > 0).count(),
            nll: scored.mean(|sums| sums.nll)?,
            accuracy: positions.and_then(|all| all.mean(|sums| sums.best)),
            by_scores: scored.bounds(self.score_k, positions)?,
            by_topk,
            entropy_buckets: self.entropy_buckets(),
            nll_buckets: self.nll_buckets(),
        })
    }

    fn entropy_buckets(&self) -> Vec<EntropyBucket> {
        let (Some(top), Some(boundaries)) = (self.top, self.boundaries) else {
            return Vec::new();
        };
        let bucket = |tercile: usize| {
            let sums = self.over(|block| block.by_entropy[tercile]);
            let (from, below) = range_of(tercile, boundaries.entropy);
            Some(EntropyBucket {
                name: ENTROPY_NAMES[tercile].to_owned(),
                from,
                below,
                n_targets: sums.n(),
                bounds: sums.bounds(top.k as u32, Some(&sums))?,
            })
        };
        (0..3).filter_map(bucket).collect()
    }

    fn nll_buckets(&self) -> Vec<NllBucket> {
        let Some(boundaries) = self.boundaries else {
            return Vec::new();
        };
        let bucket = |tercile: usize| {
            let sums = self.over(|block| block.by_nll[tercile]);
            let (from, below) = range_of(tercile, boundaries.nll);
            Some(NllBucket {
                name: NLL_NAMES[tercile].to_owned(),
                from,
                below,
                n_targets: sums.n(),
                nll: sums.mean(|sums| sums.nll)?,
            })
        };
        (0..3).filter_map(bucket).collect()
    }

    fn over(&self, of_block: impl Fn(&Block) -> Sums) -> Listed {
        Listed(self.sums.iter().map(of_block).collect())
    }
}

/// One `Sums` per block.
struct Listed(Vec<Sums>);

impl Listed {
    fn n(&self) -> u64 {
        self.0.iter().map(|sums| sums.n).sum()
    }

    fn mean(&self, value: impl Fn(&Sums) -> f64) -> Option<Estimate> {
        Estimate::of_blocks(self.0.iter().map(|sums| (sums.n, value(sums))))
    }

    /// Bounds over these positions. `missed` are the same positions with target probabilities, if those are
    /// stored.
    fn bounds(&self, k: u32, missed: Option<&Listed>) -> Option<DivergenceBounds> {
        let difference = self.mean(|sums| sums.hits - sums.mass)?;
        let rounding = self.mean(|sums| sums.rounding)?.mean;
        let tv_at_least = difference.mean.abs();
        Some(DivergenceBounds {
            k,
            hit_rate: self.mean(|sums| sums.hits)?,
            topk_mass: self.mean(|sums| sums.mass)?,
            difference,
            rounding,
            tv_at_least,
            tv_at_least_beyond_noise: (difference.beyond_noise() - rounding).max(0.0),
            tv_at_most: missed.and_then(|all| all.mean(|sums| sums.missed)),
            kl_at_least: 2.0 * tv_at_least * tv_at_least,
            kl_at_most: self.mean(|sums| sums.nll)?,
        })
    }
}

impl Block {
    fn positions(&self) -> Sums {
        let mut all = Sums::default();
        self.by_entropy.iter().for_each(|tercile| all.add(tercile));
        all
    }
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.n += other.n;
        self.nll += other.nll;
        self.hits += other.hits;
        self.mass += other.mass;
        self.missed += other.missed;
        self.best += other.best;
        self.rounding += other.rounding;
    }
}

/// A sequence's scores, times its number of positions.
fn scored(row: &Row) -> Sums {
    let n = f64::from(row.n_targets);
    Sums {
        n: u64::from(row.n_targets),
        nll: row.scores.mean_nll * n,
        hits: row.scores.learnable_fraction * n,
        mass: row.scores.mean_topk_mass * n,
        ..Sums::default()
    }
}

/// Position `t` of a row with the group `stats`.
fn position(row: &Row, t: usize, top: Option<TopMass>) -> Sums {
    let signals = &row.signals;
    let logprob = f64::from(signals.target_logprob_t[t]);
    let rank = usize::from(signals.target_rank_t[t]);
    let mut sums = Sums {
        n: 1,
        nll: -logprob,
        missed: -logprob.exp_m1(),
        best: f64::from(u8::from(rank == 0)),
        ..Sums::default()
    };
    if let Some(top) = top {
        let kept = &signals.topk_logprobs_tk[t * top.top_k..(t + 1) * top.top_k];
        let mass = top.of(kept, signals.tail_mass_t[t]);
        sums.hits = f64::from(u8::from(rank < top.k));
        sums.mass = mass.mass;
        sums.rounding = mass.rounding;
    }
    sums
}

fn top_mass(set: &LabelSet, k: Option<u32>) -> Result<Option<TopMass>, BoundsError> {
    let signals = &set.segments[0].signals;
    let top_k = match signals.has(Group::Stats) && signals.has(Group::Topk) {
        true => signals.top_k,
        false => 0,
    };
    let wanted = k.unwrap_or(top_k);
    if k.is_some() && !(1..=top_k).contains(&wanted) {
        let dir = set.dir.clone();
        return Err(BoundsError::TopK {
            dir,
            k: wanted,
            top_k,
        });
    }
    Ok((top_k > 0).then_some(TopMass {
        k: wanted as usize,
        top_k: top_k as usize,
        rounding: signals.rounding,
    }))
}

/// A first pass over the set: block layout, and boundaries between thirds if it has the group `stats`.
fn survey(set: &LabelSet) -> Result<(Blocks, Option<Boundaries>), BoundsError> {
    let mut extent = Extent::default();
    let (mut entropy, mut nll) = (Terciles::new(), Terciles::new());
    for (plan, shard) in set.finished_shards()? {
        // No check here: the pass that adds the rows compares the files with their sidecars.
        for rows in ShardReader::open_groups(&set.dir, plan, shard, &[Group::Stats])? {
            for row in rows? {
                extent.add(&row);
                if !row.scores.has_nll() {
                    continue;
                }
                row.signals.entropy_t.iter().for_each(|&h| entropy.add(h));
                let logprobs = row.signals.target_logprob_t.iter();
                logprobs.for_each(|&logprob| nll.add(-logprob));
            }
        }
    }
    let dir = set.dir.clone();
    let blocks = extent.blocks();
    let blocks = blocks.ok_or(BoundsError::NothingFinished { dir })?;
    let boundaries = Boundaries {
        entropy: entropy.boundaries(),
        nll: nll.boundaries(),
    };
    let has_stats = set.segments[0].signals.has(Group::Stats);
    Ok((blocks, has_stats.then_some(boundaries)))
}

fn range_of(tercile: usize, boundaries: [f64; 2]) -> (f64, Option<f64>) {
    match tercile {
        0 => (0.0, Some(boundaries[0])),
        1 => (boundaries[0], Some(boundaries[1])),
        _ => (boundaries[1], None),
    }
}
