//! The plans of a directory: one segment, or more where a finished set was extended.

use super::plan::Plan;
use super::sidecar::{read_sidecar, sidecar_name};
use super::{ShardsError, json, selection};
use crate::storage::{self, Publish, StorageError};
use std::io;
use std::path::{Path, PathBuf};

/// A directory of labels, as its plans describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSet {
    /// The directory.
    pub dir: PathBuf,
    /// Its plans: `plan.json`, `plan-00001.json`, ... They differ in their ranges only.
    pub segments: Vec<Plan>,
}

/// How a plan was matched with a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The directory had no plan.
    Created,
    /// The directory has this plan.
    Resumed,
    /// The directory has this plan for other ranges, all finished.
    Extended,
}

/// A directory with the segment that was asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// All segments.
    pub set: LabelSet,
    /// Index of the one that was asked for.
    pub segment: usize,
    /// How it came to be there.
    pub outcome: Outcome,
}

impl Opened {
    /// The plan to work by. Its `first_shard` may differ from the one that was passed in.
    pub fn plan(&self) -> &Plan {
        &self.set.segments[self.segment]
    }
}

impl LabelSet {
    /// Reads all plans of `dir` and checks that they fit together.
    ///
    /// # Errors
    /// [`ShardsError::NoPlan`], or a plan that is damaged, of a later format, or does not continue
    /// the ones before it.
    pub fn open(dir: &Path) -> Result<Self, ShardsError> {
        let segments = read_segments(dir)?;
        if segments.is_empty() {
            return Err(no_plan(dir));
        }
        Ok(LabelSet {
            dir: dir.to_path_buf(),
            segments,
        })
    }

    /// Makes `plan` the plan of `dir`: creates it where there is none, resumes an equal one, or
    /// adds a segment where the same plan is finished for other ranges. `layout.first_shard` and
    /// `layout.n_shards` are filled in here, whatever `plan` has there.
    ///
    /// # Errors
    /// [`ShardsError::PlanMismatch`] names the first field that differs;
    /// [`ShardsError::RangeOverlap`]; [`ShardsError::UnfinishedSegment`].
    pub fn create_or_match(dir: &Path, plan: &Plan) -> Result<Opened, ShardsError> {
        Self::create_or_match_selected(dir, plan, None)
    }

    /// As [`LabelSet::create_or_match`], of a plan that labels what the file `selection` keeps: a
    /// directory that is made gets a copy of it, as `selection.parquet`.
    ///
    /// # Errors
    /// As [`LabelSet::create_or_match`]; a selection that cannot be copied.
    pub fn create_or_match_selected(
        dir: &Path,
        plan: &Plan,
        selection: Option<&Path>,
    ) -> Result<Opened, ShardsError> {
        std::fs::create_dir_all(dir)
            .map_err(|source| StorageError::io("create the directory", dir, source))?;
        loop {
            let segments = read_segments(dir)?;
            if let Some(segment) = find_segment(dir, &segments, plan)? {
                return Ok(opened(dir, segments, segment, Outcome::Resumed));
            }
            let outcome = match segments.len() {
                0 => Outcome::Created,
                _ => Outcome::Extended,
            };
            let segment = segments.len();
            let plan = as_segment(plan, &segments)?;
            let path = plan_path(dir, segment);
            sweep(&path)?;
            if let (Outcome::Created, Some(selection)) = (outcome, selection) {
                selection::copy_into(dir, selection)?;
            }
            // Lost to another task that is planning at the same time: look again at what it made.
            if storage::create_if_absent(&path, &plan.to_json())? == Publish::Created {
                let segments = segments.into_iter().chain([plan]).collect();
                return Ok(opened(dir, segments, segment, outcome));
            }
        }
    }

    /// Shards of all segments.
    pub fn n_shards(&self) -> u32 {
        self.segments.last().map_or(0, |plan| plan.shards().end)
    }

    /// The segment that has `shard`.
    pub fn segment_of_shard(&self, shard: u32) -> Option<&Plan> {
        self.segments
            .iter()
            .find(|plan| plan.shards().contains(&shard))
    }

    /// Shards that have a sidecar, in order, each with its segment. Whether their files are what it says is
    /// `verify`'s matter.
    pub fn finished_shards(&self) -> impl Iterator<Item = (&Plan, u32)> {
        self.segments
            .iter()
            .flat_map(|plan| plan.shards().map(move |shard| (plan, shard)))
            .filter(|&(_, shard)| self.is_finished(shard))
    }

    /// Whether `shard` has a sidecar: without, it is not done.
    pub fn is_finished(&self, shard: u32) -> bool {
        self.dir.join(sidecar_name(shard)).is_file()
    }

    /// The segment that has `seq_id`.
    pub fn segment_of_sequence(&self, seq_id: u64) -> Option<&Plan> {
        self.segments.iter().find(|plan| plan.has_sequence(seq_id))
    }
}

fn opened(dir: &Path, segments: Vec<Plan>, segment: usize, outcome: Outcome) -> Opened {
    let dir = dir.to_path_buf();
    Opened {
        set: LabelSet { dir, segments },
        segment,
        outcome,
    }
}

/// `plan.json`, `plan-00001.json`, ...
pub(super) fn plan_name(segment: usize) -> String {
    match segment {
        0 => "plan.json".to_owned(),
        n => format!("plan-{n:05}.json"),
    }
}

pub(super) fn plan_path(dir: &Path, segment: usize) -> PathBuf {
    dir.join(plan_name(segment))
}

fn sweep(path: &Path) -> Result<(), ShardsError> {
    if let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) {
        storage::sweep_abandoned(dir, name)?;
    }
    Ok(())
}

fn read_segments(dir: &Path) -> Result<Vec<Plan>, ShardsError> {
    let mut segments: Vec<Plan> = Vec::new();
    loop {
        let path = plan_path(dir, segments.len());
        let Some(bytes) = json::read_if_there(&path)? else {
            return Ok(segments);
        };
        let mut plan = Plan::from_json(&path, &bytes)?;
        check_continues(&path, &plan, &segments)?;
        let first = segments
            .first()
            .and_then(|first| first.sequences.selection.as_ref());
        selection::attach(dir, &mut plan, first.and_then(|first| first.kept.clone()))?;
        segments.push(plan);
    }
}

/// What is at `dir` tells whoever mixed up two paths what they gave.
fn no_plan(dir: &Path) -> ShardsError {
    let found = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => "is not there".to_owned(),
        // Not a directory, or not one that may be looked into.
        Err(_) => "holds no plan.json".to_owned(),
        Ok(entries) => {
            let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
            holds(names.filter(|name| !name.starts_with('.')).collect())
        }
    };
    ShardsError::NoPlan {
        dir: dir.to_path_buf(),
        found,
    }
}

fn holds(mut names: Vec<String>) -> String {
    const N_NAMED: usize = 3;
    if names.is_empty() {
        return "is empty".to_owned();
    }
    names.sort_unstable();
    if names.len() > N_NAMED {
        let n_more = names.len() - N_NAMED;
        names.truncate(N_NAMED);
        names.push(format!("{n_more} more"));
    }
    format!("holds {}, and no plan.json", names.join(", "))
}

fn check_continues(path: &Path, plan: &Plan, before: &[Plan]) -> Result<(), ShardsError> {
    let broken = |field: &str, expected: String, got: String| ShardsError::BrokenSegment {
        path: path.to_path_buf(),
        field: field.to_owned(),
        expected,
        got,
    };
    let next_shard = before.last().map_or(0, |last| last.shards().end);
    if plan.layout.first_shard != next_shard {
        let got = plan.layout.first_shard.to_string();
        return Err(broken("layout.first_shard", next_shard.to_string(), got));
    }
    for other in before {
        if let Some(difference) = plan.differing_setting(other) {
            return Err(broken(
                &difference.field,
                difference.theirs,
                difference.ours,
            ));
        }
        if overlaps(plan, other) {
            let range = |p: &Plan| format!("{}..{}", p.sequences.start, p.sequences.end);
            let expected = format!("a range beside {}", range(other));
            return Err(broken("sequences.start", expected, range(plan)));
        }
    }
    Ok(())
}

fn overlaps(a: &Plan, b: &Plan) -> bool {
    a.sequences.start < b.sequences.end && b.sequences.start < a.sequences.end
}

/// The segment that is `plan`; `None` if it would be a new one, which it may be.
fn find_segment(dir: &Path, segments: &[Plan], plan: &Plan) -> Result<Option<usize>, ShardsError> {
    let mismatch = |difference: super::FieldDifference| ShardsError::PlanMismatch {
        dir: dir.to_path_buf(),
        field: difference.field,
        ours: difference.ours,
        theirs: difference.theirs,
    };
    for (segment, have) in segments.iter().enumerate() {
        if let Some(difference) = plan.differing_setting(have) {
            return Err(mismatch(difference));
        }
        let range = |p: &Plan| (p.sequences.start, p.sequences.end);
        if range(plan) == range(have) {
            let same_place = with_shards(plan, have.layout.first_shard);
            return match same_place.differing_field(have) {
                Some(difference) => Err(mismatch(difference)),
                None => Ok(Some(segment)),
            };
        }
    }
    for have in segments {
        check_may_follow(dir, plan, have)?;
    }
    Ok(None)
}

/// A new segment may follow `have` if their ranges are apart and `have` is finished.
fn check_may_follow(dir: &Path, plan: &Plan, have: &Plan) -> Result<(), ShardsError> {
    if overlaps(plan, have) {
        return Err(ShardsError::RangeOverlap {
            dir: dir.to_path_buf(),
            start: plan.sequences.start,
            end: plan.sequences.end,
            have_start: have.sequences.start,
            have_end: have.sequences.end,
        });
    }
    for shard in have.shards() {
        if read_sidecar(dir, have, shard)?.is_none() {
            return Err(ShardsError::UnfinishedSegment {
                dir: dir.to_path_buf(),
                shard,
                start: have.sequences.start,
                end: have.sequences.end,
            });
        }
    }
    Ok(())
}

/// `plan` as the segment after `before`.
fn as_segment(plan: &Plan, before: &[Plan]) -> Result<Plan, ShardsError> {
    let first_shard = before.last().map_or(0, |last| last.shards().end);
    let plan = with_shards(plan, first_shard);
    plan.validate()?;
    Ok(plan)
}

fn with_shards(plan: &Plan, first_shard: u32) -> Plan {
    let layout = super::Layout {
        first_shard,
        ..plan.layout.clone()
    };
    Plan {
        layout: layout.for_sequences(plan.n_sequences()),
        ..plan.clone()
    }
}
