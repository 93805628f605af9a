//! Progress in numbers; displaying them is left to the caller.

use serde::Serialize;
use std::time::{Duration, Instant};

/// The state at one moment. Tokens are predicted positions (targets).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Snapshot {
    /// `progress`, and `labelled` for the last one.
    pub event: &'static str,
    /// Tokens labelled, including those of earlier runs.
    pub tokens: u64,
    /// Tokens of this task.
    pub tokens_total: u64,
    /// Tokens per second in this process.
    pub tokens_per_s: f64,
    /// Seconds left at that speed.
    pub eta_s: Option<f64>,
    /// Bytes per token in both files, over the shards published by this process.
    pub bytes_per_token: Option<f64>,
    /// Shards published, including those of earlier runs.
    pub shards: u64,
    /// Shards of this task.
    pub shards_total: u64,
}

/// Where snapshots go: called after every batch and every shard, from any thread of the pipeline.
pub(super) type Listener<'a> = &'a (dyn Fn(&Snapshot) + Sync);

/// Counts predicted tokens, finished shards and their bytes, and tells the listener.
pub(super) struct Progress<'a> {
    listener: Listener<'a>,
    started: Instant,
    totals: Totals,
    n_tokens: u64,
    n_shards: u64,
    n_bytes_written: u64,
    n_tokens_written: u64,
    without_nll: WithoutNll,
}

/// Sequences with a target to which the teacher gives probability 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WithoutNll {
    /// How many there were in this process.
    pub n: u64,
    /// seq_ids of the first ones found, at most eight.
    pub first: Vec<u64>,
}

/// How many sequences without NLL are listed.
const LISTED: usize = 8;

/// Where counting begins and ends.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Totals {
    /// Of earlier runs: they count as done, but say nothing about speed.
    pub(super) n_tokens_before: u64,
    pub(super) n_tokens: u64,
    pub(super) n_shards_before: u64,
    pub(super) n_shards: u64,
}

impl<'a> Progress<'a> {
    pub(super) fn start(totals: Totals, listener: Listener<'a>) -> Self {
        Self {
            listener,
            started: Instant::now(),
            totals,
            n_tokens: totals.n_tokens_before,
            n_shards: totals.n_shards_before,
            n_bytes_written: 0,
            n_tokens_written: 0,
            without_nll: WithoutNll::default(),
        }
    }

    /// Records a labelled sequence without NLL.
    pub(super) fn labelled_without_nll(&mut self, seq_id: u64) {
        self.without_nll.n += 1;
        if self.without_nll.first.len() < LISTED {
            self.without_nll.first.push(seq_id);
        }
    }

    /// Those of this process, by increasing seq_id.
    pub(super) fn without_nll(&self) -> WithoutNll {
        let mut without_nll = self.without_nll.clone();
        without_nll.first.sort_unstable();
        without_nll
    }

    /// Records `n_tokens` more labelled targets.
    pub(super) fn labelled(&mut self, n_tokens: u64) {
        self.n_tokens += n_tokens;
        (self.listener)(&self.snapshot("progress"));
    }

    /// Records the publication of a shard of `n_tokens` targets in `n_bytes`.
    pub(super) fn published(&mut self, n_tokens: u64, n_bytes: u64) {
        self.n_shards += 1;
        self.n_tokens_written += n_tokens;
        self.n_bytes_written += n_bytes;
        (self.listener)(&self.snapshot("progress"));
    }

    /// Reports the end.
    pub(super) fn finish(&self) {
        (self.listener)(&self.snapshot("labelled"));
    }

    /// Shards done, including those of earlier runs.
    pub(super) fn n_shards(&self) -> u64 {
        self.n_shards
    }

    /// Targets labelled in this process.
    pub(super) fn n_labelled(&self) -> u64 {
        self.n_tokens - self.totals.n_tokens_before
    }

    /// Targets per second in this process.
    pub(super) fn tokens_per_s(&self) -> f64 {
        self.tokens_per_s_after(self.started.elapsed())
    }

    fn tokens_per_s_after(&self, elapsed: Duration) -> f64 {
        self.n_labelled() as f64 / elapsed.as_secs_f64().max(1e-9)
    }

    fn snapshot(&self, event: &'static str) -> Snapshot {
        self.snapshot_after(self.started.elapsed(), event)
    }

    fn snapshot_after(&self, elapsed: Duration, event: &'static str) -> Snapshot {
        let tokens_per_s = self.tokens_per_s_after(elapsed);
        let n_left = self.totals.n_tokens.saturating_sub(self.n_tokens);
        let written = self.n_tokens_written as f64;
        Snapshot {
            event,
            tokens: self.n_tokens,
            tokens_total: self.totals.n_tokens,
            tokens_per_s: tenths(tokens_per_s),
            eta_s: (tokens_per_s > 0.0).then(|| tenths(n_left as f64 / tokens_per_s)),
            bytes_per_token: (written > 0.0).then(|| tenths(self.n_bytes_written as f64 / written)),
            shards: self.n_shards,
            shards_total: self.totals.n_shards,
        }
    }
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_runs_count_as_done_but_not_as_speed() {
        let totals = Totals {
            n_tokens_before: 900,
            n_tokens: 1000,
            n_shards_before: 9,
            n_shards: 10,
        };
        let mut progress = Progress::start(totals, &|_| ());
        progress.labelled(50);
        progress.published(50, 5000);
        let snapshot = progress.snapshot_after(Duration::from_secs(10), "progress");
        assert_eq!((snapshot.tokens, snapshot.shards), (950, 10));
        assert_eq!((snapshot.tokens_per_s, snapshot.eta_s), (5.0, Some(10.0)));
        assert_eq!(snapshot.bytes_per_token, Some(100.0));
    }
}
