//! Whether a teacher predicts the texts that it is tried on at all: with the tokens of another tokenizer, with
//! broken weights or with logits that lie a position off, labels look like any others.

/// Predictions without which nothing is said.
const MIN_PREDICTIONS: u64 = 8;
/// By how much the id before must be the likelier one for the logits to look shifted, nats a token.
const SHIFT_NATS: f64 = 1.0;
/// By how much a prediction must be better than a guess, nats a token.
const MIN_GAIN_NATS: f64 = 0.005;

/// Sums over the predictions of some texts.
#[derive(Debug, Default)]
pub(super) struct Plausibility {
    n: u64,
    /// NLL of the id that follows, nats.
    next: f64,
    /// NLL of the id that was read last, nats.
    same: f64,
}

impl Plausibility {
    /// Adds a text of T ids with its `[T, V]`. Predictions that are not finite are left out.
    pub(super) fn add(&mut self, text: &[u32], logits: &[f32], n_logits: usize) {
        let pairs = text.windows(2).zip(logits.chunks_exact(n_logits.max(1)));
        for (pair, logits) in pairs {
            let log_sum = log_sum(logits);
            let nll_of = |id: u32| {
                let logit = logits.get(id as usize).copied().map(f64::from)?;
                let nll = log_sum - logit;
                nll.is_finite().then_some(nll)
            };
            let (Some(same), Some(next)) = (nll_of(pair[0]), nll_of(pair[1])) else {
                continue;
            };
            // Of a repeated id nothing can be told.
            if pair[0] != pair[1] {
                self.n += 1;
                self.same += same;
                self.next += next;
            }
        }
    }

    /// What a user should know before believing labels of it, of ids below `n_ids`.
    pub(super) fn note(&self, n_ids: u32) -> Option<String> {
        if self.n < MIN_PREDICTIONS {
            return None;
        }
        let (next, same) = (self.next / self.n as f64, self.same / self.n as f64);
        let by_chance = f64::from(n_ids).ln();
        let tried = format!("on {} tokens of your text", self.n);
        if same + SHIFT_NATS < next.min(by_chance) {
            return Some(format!(
                "{tried} the teacher gives the id it has just read a higher probability ({same:.2} nats) than the next one ({next:.2} nats): its logits may lie one position off, or it is not trained; check its export"
            ));
        }
        (next >= by_chance - MIN_GAIN_NATS).then(|| {
            format!(
                "{tried} the teacher predicts no better than chance ({next:.2} nats a token, guessing among {n_ids} ids has {by_chance:.2}): check that the tokens were made with its own tokenizer, that it is trained, and that its output is logits"
            )
        })
    }
}

/// The logarithm of the sum of their exponentials.
fn log_sum(logits: &[f32]) -> f64 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let most = f64::from(most);
    let sum: f64 = logits.iter().map(|&x| (f64::from(x) - most).exp()).sum();
    most + sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: [u32; 10] = [0, 1, 2, 3, 0, 2, 1, 3, 2, 0];

    /// The note on a model that gives `logit` to the id `ahead` positions after the last one that was read.
    fn note_of(ahead: usize, logit: f32) -> Option<String> {
        let mut logits = vec![0.0; TEXT.len() * 4];
        for t_idx in 0..TEXT.len() - ahead {
            logits[t_idx * 4 + TEXT[t_idx + ahead] as usize] = logit;
        }
        let mut plausibility = Plausibility::default();
        plausibility.add(&TEXT, &logits, 4);
        plausibility.note(4)
    }

    #[test]
    fn a_model_that_predicts_is_not_remarked_on() {
        assert_eq!(note_of(1, 3.0), None);
    }

    #[test]
    fn logits_shifted_by_one_position_are_remarked_on() {
        let note = note_of(0, 3.0).unwrap_or_default();
        assert!(note.contains("one position off"), "{note}");
    }

    #[test]
    fn a_model_no_better_than_guessing_is_remarked_on() {
        for logit in [0.0, -3.0] {
            let note = note_of(1, logit).unwrap_or_default();
            assert!(note.contains("no better than chance"), "{note}");
        }
    }

    #[test]
    fn few_predictions_say_nothing() {
        let mut plausibility = Plausibility::default();
        plausibility.add(&TEXT[..4], &[0.0; 16], 4);
        assert_eq!(plausibility.note(4), None);
    }
}
