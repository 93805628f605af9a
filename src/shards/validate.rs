//! Validates a plan: possible values that fit together.

use super::ShardsError;
use super::plan::{
    ENGINE_FEATURE, Group, IMPOSSIBLE_TARGETS_FEATURE, Plan, PlanEngine, SAMPLES_FEATURE,
    SELECTION_FEATURE,
};

/// `target_rank` saturates at `u16::MAX`, so a kept set may not be larger.
const MAX_TOP_K: u32 = u16::MAX as u32;

impl Plan {
    /// Checks that the values are possible and fit together.
    ///
    /// # Errors
    /// [`ShardsError::InvalidPlan`] with the field and what to do.
    pub fn validate(&self) -> Result<(), ShardsError> {
        self.validate_teacher()?;
        self.validate_sequences()?;
        self.validate_signals()?;
        self.validate_layout()
    }

    fn validate_teacher(&self) -> Result<(), ShardsError> {
        require(self.teacher.vocab_size > 0, "teacher.vocab_size", || {
            "is 0, but a model predicts at least one id".to_owned()
        })?;
        require(
            self.requires(ENGINE_FEATURE) == self.teacher.engine.is_some(),
            "required_features",
            || "must list `engine` exactly if another engine made the numbers".to_owned(),
        )?;
        let has_name = |engine: &PlanEngine| !engine.name.trim().is_empty();
        require(
            self.teacher.engine.as_ref().is_none_or(has_name),
            "teacher.engine.name",
            || "is empty: say which engine made the numbers".to_owned(),
        )
    }

    fn validate_sequences(&self) -> Result<(), ShardsError> {
        let s = &self.sequences;
        require(s.seq_len > 0, "sequences.seq_len", || {
            "is 0: give at least 1 predicted position".to_owned()
        })?;
        require(s.start < s.end, "sequences.end", || {
            format!(
                "the range {}..{} is empty: give another one",
                s.start, s.end
            )
        })?;
        require(s.end <= s.n_total, "sequences.end", || {
            format!(
                "the range {}..{} exceeds the {} sequences that exist: end it there or earlier",
                s.start, s.end, s.n_total
            )
        })?;
        self.validate_selection()
    }

    fn validate_selection(&self) -> Result<(), ShardsError> {
        let s = &self.sequences;
        require(
            self.requires(SELECTION_FEATURE) == s.selection.is_some(),
            "required_features",
            || "must list `selection` exactly if there is one".to_owned(),
        )?;
        let Some(selection) = &s.selection else {
            return Ok(());
        };
        let most = selection.n_kept.min(s.end - s.start);
        require(
            (1..=most).contains(&selection.n_rows),
            "sequences.selection.n_rows",
            || {
                format!(
                    "is {}, expected 1 to {most}: select a sequence of the range {}..{}",
                    selection.n_rows, s.start, s.end
                )
            },
        )
    }

    fn requires(&self, feature: &str) -> bool {
        self.required_features.iter().any(|f| f == feature)
    }

    fn validate_signals(&self) -> Result<(), ShardsError> {
        let s = &self.signals;
        let vocab_size = self.teacher.vocab_size;
        let in_order = s.groups.windows(2).all(|pair| pair[0] < pair[1]);
        let starts_with_scores = s.groups.first() == Some(&Group::Scores);
        require(in_order && starts_with_scores, "signals.groups", || {
            "must be `scores` alone or with `stats`, `topk` and `samples`, each once, in this order"
                .to_owned()
        })?;
        let k_range = if s.has(Group::Topk) {
            1..=vocab_size.min(MAX_TOP_K)
        } else {
            0..=0
        };
        require(k_range.contains(&s.top_k), "signals.top_k", || {
            format!(
                "is {}, expected {} to {} (K is 0 without the group topk, else at most the vocabulary and 65535)",
                s.top_k,
                k_range.start(),
                k_range.end()
            )
        })?;
        require(
            self.requires(IMPOSSIBLE_TARGETS_FEATURE) == s.impossible_targets,
            "required_features",
            || "must list `impossible-targets` exactly if those are allowed".to_owned(),
        )?;
        self.validate_temperatures()?;
        self.validate_samples()
    }

    fn validate_temperatures(&self) -> Result<(), ShardsError> {
        let s = &self.signals;
        const FIELD: &str = "signals.temperatures";
        require(
            s.temperatures.is_empty() || s.has(Group::Topk),
            FIELD,
            || "need the group topk, which the log-partitions belong to: add it".to_owned(),
        )?;
        for (x, &tau) in s.temperatures.iter().enumerate() {
            require(tau.is_finite() && tau > 0.0 && tau != 1.0, FIELD, || {
                format!("{tau} is not a positive number other than 1 (1 is always stored)")
            })?;
            require(!s.temperatures[..x].contains(&tau), FIELD, || {
                format!("{tau} is given twice: give each temperature once")
            })?;
        }
        Ok(())
    }

    fn validate_samples(&self) -> Result<(), ShardsError> {
        const FIELD: &str = "signals.samples";
        let has_group = self.signals.has(Group::Samples);
        let samples = self.signals.samples;
        require(samples.is_some() == has_group, FIELD, || match samples {
            Some(_) => "needs the group samples: add it".to_owned(),
            None => "is absent, but the group samples needs it: say how ids are sampled".to_owned(),
        })?;
        require(
            self.requires(SAMPLES_FEATURE) == has_group,
            "required_features",
            || "must list `samples` exactly if that group is stored".to_owned(),
        )?;
        let Some(samples) = samples else {
            return Ok(());
        };
        require(samples.n_draws > 0, "signals.samples.n_draws", || {
            "is 0: give at least 1 sample per position".to_owned()
        })?;
        let is_temperature = samples.tau.is_finite() && samples.tau > 0.0;
        require(is_temperature, "signals.samples.tau", || {
            format!("is {}, expected a positive number", samples.tau)
        })
    }

    fn validate_layout(&self) -> Result<(), ShardsError> {
        let l = &self.layout;
        require(
            l.rows_per_row_group > 0 && l.rows_per_shard >= l.rows_per_row_group,
            "layout.rows_per_shard",
            || {
                format!(
                    "is {} with {} rows per row group: a shard has at least one whole row group",
                    l.rows_per_shard, l.rows_per_row_group
                )
            },
        )?;
        require(
            (1..=22).contains(&l.zstd_level),
            "layout.zstd_level",
            || format!("is {}, expected 1 to 22", l.zstd_level),
        )?;
        let n_draws = self.signals.max_distinct_draws(self.teacher.vocab_size);
        let values = u128::from(l.rows_per_row_group)
            * (u128::from(self.sequences.seq_len) + 1)
            * u128::from(self.signals.top_k.max(n_draws).max(1));
        require(
            values <= i32::MAX as u128,
            "layout.rows_per_row_group",
            || {
                format!(
                    "gives lists of {values} values, above the limit of 2^31 - 1 per row group: use fewer rows, or a shorter seq_len"
                )
            },
        )?;
        let n_shards = self.n_sequences().div_ceil(l.rows_per_shard);
        require(u64::from(l.n_shards) == n_shards, "layout.n_shards", || {
            format!("is {}, but the range needs {n_shards}", l.n_shards)
        })?;
        require(
            l.first_shard.checked_add(l.n_shards).is_some(),
            "layout.first_shard",
            || "shard numbers exceed 2^32: use larger shards".to_owned(),
        )
    }
}

fn require(
    holds: bool,
    field: &'static str,
    reason: impl FnOnce() -> String,
) -> Result<(), ShardsError> {
    if holds {
        return Ok(());
    }
    Err(ShardsError::InvalidPlan {
        path: None,
        field,
        reason: reason(),
    })
}
