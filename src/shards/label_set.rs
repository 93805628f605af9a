//! The plans of a directory: one segment, or more if a finished set was extended.

use super::columns::FileKind;
use super::documents::{DOCUMENTS_DIR, INDEX_NAME};
use super::names::{
    CARD_NAME, MANIFEST_NAME, SELECTION_NAME, TOKENIZER_NAME, plan_name, plan_path, shard_of,
    sidecar_name,
};
use super::plan::Plan;
use super::sidecar::{READ_AT_ONCE, Sidecars};
use super::{ShardsError, json, place, selection};
use crate::storage::{self, Abandoned, Publish};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Successive waits for a plan that another task may be writing: some 6 seconds together.
const GROWING_WAITS: [Duration; 9] = [
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(2),
];
/// How long a plan must not grow before it counts as abandoned on a filesystem without locks.
const STALE_PLAN_AFTER: Duration = Duration::from_secs(1);

/// A directory of labels, as its plans describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelSet {
    /// The directory.
    pub dir: PathBuf,
    /// Its plans: `plan.json`, `plan-00001.json`, ... They differ only in their ranges.
    pub segments: Vec<Plan>,
}

/// How a plan relates to a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The directory had no plan.
    Created,
    /// The directory has this plan.
    Resumed,
    /// The directory has this plan for other ranges, all finished.
    Extended,
}

/// A directory with the requested segment.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// All segments.
    pub set: LabelSet,
    /// Index of the requested one.
    pub segment: usize,
    /// Whether it was created, resumed or added.
    pub outcome: Outcome,
}

impl Opened {
    /// The plan to follow. Its `first_shard` may differ from that of the plan passed in.
    pub fn plan(&self) -> &Plan {
        &self.set.segments[self.segment]
    }
}

impl LabelSet {
    /// Reads all plans of `dir` and checks that they fit together.
    ///
    /// # Errors
    /// [`ShardsError::NoPlan`], or a plan that is damaged, of a later format, or does not continue the ones before it.
    pub fn open(dir: &Path) -> Result<Self, ShardsError> {
        place::check_directory(dir)?;
        let segments = read_segments(dir)?;
        if segments.is_empty() {
            return Err(place::no_plan(dir));
        }
        Ok(LabelSet {
            dir: dir.to_path_buf(),
            segments,
        })
    }

    /// Like [`LabelSet::open`], for callers about to label into `dir`: `None` if there is no plan, or only a partial
    /// one left by a killed process.
    ///
    /// # Errors
    /// Those of [`LabelSet::open`], except for a directory without a plan.
    pub fn open_to_extend(dir: &Path) -> Result<Option<Self>, ShardsError> {
        place::check_directory(dir)?;
        let segments = read_segments_to_extend(dir)?;
        Ok((!segments.is_empty()).then(|| LabelSet {
            dir: dir.to_path_buf(),
            segments,
        }))
    }

    /// Makes `plan` the plan of `dir`: creates it if there is none, resumes an equal one, or adds a segment if the same
    /// plan is finished for other ranges. `layout.first_shard` and `layout.n_shards` are computed here, whatever `plan`
    /// has. If a new directory's plan labels a `selection`, that file is copied into it as `selection.parquet`.
    ///
    /// # Errors
    /// [`ShardsError::PlanMismatch`] names the first field that differs;
    /// [`ShardsError::RangeOverlap`]; [`ShardsError::UnfinishedSegment`]; a selection that cannot be
    /// copied.
    pub fn create_or_match(
        dir: &Path,
        plan: &Plan,
        selection: Option<&Path>,
    ) -> Result<Opened, ShardsError> {
        place::check_directory(dir)?;
        storage::make_dirs(dir)?;
        storage::check_writable(dir)?;
        sweep(dir)?;
        loop {
            let segments = read_segments_to_extend(dir)?;
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
            if let (Outcome::Created, Some(selection)) = (outcome, selection) {
                selection::copy_into(dir, selection)?;
            }
            // If another task published a plan meanwhile, start again with that one.
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

    /// The tokenizer next to the plan, if there is one.
    ///
    /// # Errors
    /// The directory cannot be inspected.
    pub fn tokenizer_path(&self) -> Result<Option<PathBuf>, ShardsError> {
        let path = self.dir.join(TOKENIZER_NAME);
        Ok(storage::exists(&path)?.then_some(path))
    }

    /// The segment that has `shard`.
    pub fn segment_of_shard(&self, shard: u32) -> Option<&Plan> {
        self.segments
            .iter()
            .find(|plan| plan.shards().contains(&shard))
    }

    /// Shards that have a sidecar, in order, each with its segment. Their files are checked only when they are read
    /// ([`super::ShardReader::open_checked`]). Memory is proportional to the shards found, however many the plan has.
    ///
    /// # Errors
    /// A directory that cannot be listed.
    pub fn finished_shards(&self) -> Result<Vec<(&Plan, u32)>, ShardsError> {
        let existing = existing_sidecars(&self.dir)?;
        let with_plan = |shard| Some((self.segment_of_shard(shard)?, shard));
        Ok(existing.into_iter().filter_map(with_plan).collect())
    }

    /// Whether `shard` has a sidecar: without one it is not done.
    ///
    /// # Errors
    /// The directory cannot be inspected.
    pub fn is_finished(&self, shard: u32) -> Result<bool, ShardsError> {
        Ok(storage::exists(&self.dir.join(sidecar_name(shard)))?)
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

/// Removes what killed processes left of a set's files. All names of a set are this crate's own; locks tell which
/// temporaries are still in use.
pub(super) fn sweep(dir: &Path) -> Result<(), ShardsError> {
    let is_ours = |name: &str| {
        let is_json = name.ends_with(".json");
        let is_known = name.starts_with("plan") || name.starts_with("part-");
        let is_one_of = [MANIFEST_NAME, SELECTION_NAME, CARD_NAME, TOKENIZER_NAME];
        is_one_of.contains(&name) || is_json && is_known
    };
    storage::sweep_abandoned_where(dir, is_ours)?;
    let is_part = |name: &str| name.starts_with("part-") && name.ends_with(".parquet");
    for kind in FileKind::ALL {
        storage::sweep_abandoned_where(&dir.join(kind.dir()), is_part)?;
    }
    let is_of_documents = |name: &str| name == INDEX_NAME || is_part(name);
    storage::sweep_abandoned_where(&dir.join(DOCUMENTS_DIR), is_of_documents)?;
    Ok(())
}

/// Numbers of the shards that have a sidecar, sorted, from the directory listing.
pub(super) fn existing_sidecars(dir: &Path) -> Result<BTreeSet<u32>, ShardsError> {
    let names = place::names_in(dir)?;
    Ok(names.iter().filter_map(|name| shard_of(name)).collect())
}

/// Like [`read_segments`], but removes what a killed process left of a plan. Without hard links and non-replacing
/// renames, a plan is written under its own name.
fn read_segments_to_extend(dir: &Path) -> Result<Vec<Plan>, ShardsError> {
    for wait in GROWING_WAITS {
        let error = match read_segments(dir) {
            // An object appears whole: an invalid one is not an unfinished plan.
            Err(error @ ShardsError::Json { .. }) if !storage::is_url(dir) => error,
            read => return read,
        };
        let ShardsError::Json { path, .. } = &error else {
            return Err(error);
        };
        if has_shards_of(dir, path)? {
            return Err(error);
        }
        let before = storage::read(path).ok();
        match storage::remove_abandoned(path)? {
            Abandoned::Removed => {}
            // Another task is writing it, or has removed it.
            Abandoned::InUse => std::thread::sleep(wait),
            Abandoned::Unknown => {
                std::thread::sleep(wait.max(STALE_PLAN_AFTER));
                if storage::read(path).ok() == before {
                    storage::remove_file(path)?;
                }
            }
        }
    }
    read_segments(dir)
}

/// Whether anything was labelled according to the plan at `path`, or one after it.
fn has_shards_of(dir: &Path, path: &Path) -> Result<bool, ShardsError> {
    let is_first = path.file_name().is_some_and(|name| *name == *plan_name(0));
    if !is_first {
        // The plans before it tell where its shards begin; those are finished when a set is extended.
        let n_before = segments_before(dir, path)?;
        return Ok(existing_sidecars(dir)?.last() >= Some(&n_before));
    }
    for kind in FileKind::ALL {
        if !place::names_in(&dir.join(kind.dir()))?.is_empty() {
            return Ok(true);
        }
    }
    Ok(!existing_sidecars(dir)?.is_empty())
}

/// Number of shards in the plans before the one at `path`.
fn segments_before(dir: &Path, path: &Path) -> Result<u32, ShardsError> {
    let mut n_shards = 0;
    for segment in 0.. {
        let earlier = plan_path(dir, segment);
        if earlier == path {
            break;
        }
        let Some(bytes) = json::read_if_exists(&earlier)? else {
            break;
        };
        n_shards = Plan::from_json(&earlier, &bytes)?.shards().end;
    }
    Ok(n_shards)
}

fn read_segments(dir: &Path) -> Result<Vec<Plan>, ShardsError> {
    let mut segments: Vec<Plan> = Vec::new();
    loop {
        let path = plan_path(dir, segments.len());
        let Some(bytes) = json::read_if_exists(&path)? else {
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

/// The segment equal to `plan`; `None` if it would be a new one, which is allowed.
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

/// Checks that a new segment may follow `have`: their ranges do not overlap and `have` is finished.
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
    let unfinished = |shard| ShardsError::UnfinishedSegment {
        dir: dir.to_path_buf(),
        shard,
        start: have.sequences.start,
        end: have.sequences.end,
    };
    // A plan may claim any number of shards: the listing gives the first missing one.
    let existing = existing_sidecars(dir)?;
    if let Some(shard) = have.shards().find(|shard| !existing.contains(shard)) {
        return Err(unfinished(shard));
    }
    let sidecars = Sidecars::of(dir, have);
    let shards: Vec<u32> = have.shards().collect();
    for shards in shards.chunks(READ_AT_ONCE) {
        for (sidecar, &shard) in sidecars.read_many(shards)?.iter().zip(shards) {
            if sidecar.is_none() {
                return Err(unfinished(shard));
            }
        }
    }
    Ok(())
}

/// `plan` as the segment that follows `before`.
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
