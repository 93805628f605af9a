//! Labels of the same sequences by several teachers.
//!
//! The first set determines the order, the selection and the tokens; only signals are read from the others.
//! Rows are joined by `seq_id`, which each plan maps to a row: sets may differ in what they store, and so in
//! the sizes of shards and row groups, but not in the order of their rows, or each row would cost reading a
//! whole row group.

use super::{DataError, LabelSource};
use crate::shards::{Plan, ViewIdentity};
use crate::train::loss::Joining;

impl LabelSource {
    /// Joins these labels with those of `others`, in the order of the weights in `joining`.
    /// [`LabelSource::reading`] decides afterwards which groups are read.
    ///
    /// # Errors
    /// [`DataError::SameTeacher`]; [`DataError::OtherTeacher`], which names the first difference.
    pub fn joined(self, others: Vec<LabelSource>, joining: Joining) -> Result<Self, DataError> {
        assert_eq!(joining.n_teachers(), 1 + others.len(), "a weight each");
        for (i, other) in others.iter().enumerate() {
            let mut before = std::iter::once(&self).chain(&others[..i]);
            if let Some(same) = before.find(|known| known.fingerprint() == other.fingerprint()) {
                return Err(DataError::SameTeacher {
                    dir: other.dir().to_path_buf(),
                    first: same.dir().to_path_buf(),
                });
            }
            self.check_joins(other)?;
        }
        Ok(Self {
            others,
            joining,
            ..self
        })
    }

    /// The labels of each teacher, these first.
    pub fn teachers(&self) -> impl Iterator<Item = &LabelSource> {
        std::iter::once(self).chain(&self.others)
    }

    /// How the teachers are joined.
    pub fn joining(&self) -> &Joining {
        &self.joining
    }

    fn check_joins(&self, other: &LabelSource) -> Result<(), DataError> {
        let (ours, theirs) = (self.plan(), other.plan());
        let view = |plan| ViewIdentity::of(plan);
        if let Some(difference) = view(ours).difference(&view(theirs)) {
            let what = format!("{} of the sequences", difference.field);
            return Err(self.other_teacher(other, what, difference.ours, difference.theirs));
        }
        let tokenizer = |plan: &Plan| plan.tokenizer.as_ref().map(|it| it.fingerprint.clone());
        let tokenizers = tokenizer(ours).zip(tokenizer(theirs));
        let (our_tokenizer, their_tokenizer) = tokenizers.unwrap_or_default();
        let seed = |plan: &Plan| match plan.layout.order_seed {
            Some(seed) => seed.to_string(),
            None => "none".to_owned(),
        };
        let vocab_size = |plan: &Plan| plan.teacher.vocab_size.to_string();
        for (what, ours, theirs) in [
            ("the vocabulary", vocab_size(ours), vocab_size(theirs)),
            ("the tokenizer", our_tokenizer, their_tokenizer),
            ("the order seed", seed(ours), seed(theirs)),
            ("what is labelled", self.labelled(), other.labelled()),
        ] {
            if ours != theirs {
                return Err(self.other_teacher(other, what.to_owned(), ours, theirs));
            }
        }
        Ok(())
    }

    /// Ranges and selections of all segments, in words.
    fn labelled(&self) -> String {
        let of_segment = |plan: &Plan| {
            let sequences = &plan.sequences;
            let selection = sequences.selection.as_ref();
            let selection = selection.map(|it| format!(" of the selection {}", it.fingerprint));
            let (start, end) = (sequences.start, sequences.end);
            format!("{start}..{end}{}", selection.unwrap_or_default())
        };
        let segments: Vec<String> = self.plans().iter().map(of_segment).collect();
        segments.join(", ")
    }

    pub(super) fn other_teacher(
        &self,
        other: &LabelSource,
        what: String,
        expected: String,
        got: String,
    ) -> DataError {
        DataError::OtherTeacher {
            dir: other.dir().to_path_buf(),
            first: self.dir().to_path_buf(),
            what,
            expected,
            got,
        }
    }
}
