//! Trigram statistics of a token stream, as the two tables of a look-up model.

use super::DemoError;
use std::cmp::Reverse;

/// A trigram model with back-off, as states: each context of two tokens maps to a state, and each state has one
/// distribution over the vocabulary.
///
/// Letters: V vocabulary, S states (S >= V). State s < V is the bigram context `s`; the others are the most
/// frequent contexts of two tokens, each with its own distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct NgramTeacher {
    /// V.
    pub vocab_size: usize,
    /// `[V + 1, V]` the state of (the token before, the current token); row V means that there is no token
    /// before.
    pub state_of_context: Vec<i32>,
    /// `[S, V]` nats, log-probabilities of the next token; each row sums to 1 as probabilities.
    pub log_probs_sv: Vec<f32>,
}

impl NgramTeacher {
    /// Fits the model to one stream of ids below `vocab_size`, with at most `n_states_max` states (but at least
    /// V; memory and file size are about `4 * V * (V + S)` bytes).
    ///
    /// # Errors
    /// [`DemoError::TooFewTokens`] and [`DemoError::TokenOutOfRange`].
    pub fn fit(tokens: &[u32], vocab_size: usize, n_states_max: usize) -> Result<Self, DemoError> {
        check_tokens(tokens, vocab_size)?;
        let unigram = unigram_probs(tokens, vocab_size);
        let bigram_counts = pair_counts(tokens, vocab_size);
        let contexts = frequent_contexts(&bigram_counts, n_states_max.saturating_sub(vocab_size));
        let state_of_context = states(&contexts, vocab_size);
        let trigram_counts = state_counts(tokens, vocab_size, &state_of_context, contexts.len());

        let n_states = vocab_size + contexts.len();
        let mut probs_sv = Vec::with_capacity(n_states * vocab_size);
        for counts in bigram_counts.chunks_exact(vocab_size) {
            push_witten_bell(&mut probs_sv, counts, &unigram);
        }
        for (counts, context) in trigram_counts.chunks_exact(vocab_size).zip(&contexts) {
            let lower_state = context % vocab_size;
            let lower = probs_sv[lower_state * vocab_size..][..vocab_size].to_vec();
            push_witten_bell(&mut probs_sv, counts, &lower);
        }
        let log_probs_sv = probs_sv.iter().map(|prob| prob.ln() as f32).collect();
        Ok(NgramTeacher {
            vocab_size,
            state_of_context,
            log_probs_sv,
        })
    }

    /// S.
    pub fn n_states(&self) -> usize {
        self.log_probs_sv.len() / self.vocab_size
    }

    /// `[V]` nats: log-probabilities of what follows `current`, after `previous` if there is one.
    pub fn log_probs(&self, previous: Option<u32>, current: u32) -> &[f32] {
        let row = previous.map_or(self.vocab_size, |token| token as usize);
        let state = self.state_of_context[row * self.vocab_size + current as usize] as usize;
        &self.log_probs_sv[state * self.vocab_size..][..self.vocab_size]
    }

    /// Mean NLL over the targets of one sequence, nats per token (the first token is only context).
    pub fn mean_nll(&self, tokens: &[u32]) -> f64 {
        let nll = |at: usize| {
            let previous = at.checked_sub(2).map(|before| tokens[before]);
            -f64::from(self.log_probs(previous, tokens[at - 1])[tokens[at] as usize])
        };
        (1..tokens.len()).map(nll).sum::<f64>() / (tokens.len() - 1) as f64
    }
}

/// Entropy of the token frequencies in nats: the NLL of a teacher that knows only those.
pub fn unigram_entropy(tokens: &[u32], vocab_size: usize) -> f64 {
    let mut counts = vec![0_u32; vocab_size];
    for &token in tokens {
        counts[token as usize] += 1;
    }
    let n_tokens = tokens.len() as f64;
    let term = |count: &u32| {
        let prob = f64::from(*count) / n_tokens;
        -prob * prob.ln()
    };
    counts.iter().filter(|&&count| count > 0).map(term).sum()
}

fn check_tokens(tokens: &[u32], vocab_size: usize) -> Result<(), DemoError> {
    if tokens.len() < 3 {
        return Err(DemoError::TooFewTokens {
            n_tokens: tokens.len(),
        });
    }
    match tokens
        .iter()
        .position(|&token| token as usize >= vocab_size)
    {
        Some(offset) => Err(DemoError::TokenOutOfRange {
            token: tokens[offset],
            offset,
            vocab_size,
        }),
        None => Ok(()),
    }
}

/// `[V]` add-one estimates: every id is possible, so no log-probability is -inf.
fn unigram_probs(tokens: &[u32], vocab_size: usize) -> Vec<f64> {
    let mut counts = vec![1_u64; vocab_size];
    for &token in tokens {
        counts[token as usize] += 1;
    }
    let total = (tokens.len() + vocab_size) as f64;
    counts.iter().map(|&count| count as f64 / total).collect()
}

/// `[V, V]` how often each token follows each.
fn pair_counts(tokens: &[u32], vocab_size: usize) -> Vec<u32> {
    let mut counts = vec![0_u32; vocab_size * vocab_size];
    for pair in tokens.windows(2) {
        counts[context_of(pair, vocab_size)] += 1;
    }
    counts
}

fn context_of(pair: &[u32], vocab_size: usize) -> usize {
    pair[0] as usize * vocab_size + pair[1] as usize
}

/// The `n_max` most frequent contexts of two tokens, seen at least twice; ties by index.
fn frequent_contexts(counts: &[u32], n_max: usize) -> Vec<usize> {
    let mut contexts: Vec<usize> = (0..counts.len())
        .filter(|&context| counts[context] >= 2)
        .collect();
    contexts.sort_by_key(|&context| (Reverse(counts[context]), context));
    contexts.truncate(n_max);
    contexts
}

/// `[V + 1, V]` states: a context without one of its own falls back to its last token's.
fn states(contexts: &[usize], vocab_size: usize) -> Vec<i32> {
    let mut states: Vec<i32> = (0..(vocab_size + 1) * vocab_size)
        .map(|context| (context % vocab_size) as i32)
        .collect();
    for (idx, &context) in contexts.iter().enumerate() {
        states[context] = (vocab_size + idx) as i32;
    }
    states
}

/// `[S - V, V]` how often each token follows each context that has its own state.
fn state_counts(
    tokens: &[u32],
    vocab_size: usize,
    state_of_context: &[i32],
    n_contexts: usize,
) -> Vec<u32> {
    let mut counts = vec![0_u32; n_contexts * vocab_size];
    for triple in tokens.windows(3) {
        let state = state_of_context[context_of(&triple[..2], vocab_size)] as usize;
        if let Some(idx) = state.checked_sub(vocab_size) {
            counts[idx * vocab_size + triple[2] as usize] += 1;
        }
    }
    counts
}

/// Appends p(y) = (count(y) + n_distinct * lower(y)) / (total + n_distinct): the more distinct tokens followed
/// a context, the more probability is left for others (Witten and Bell 1991).
fn push_witten_bell(probs: &mut Vec<f64>, counts: &[u32], lower: &[f64]) {
    let total: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let n_distinct = counts.iter().filter(|&&count| count > 0).count().max(1) as f64;
    let smoothed = |(&count, &prob): (&u32, &f64)| {
        (f64::from(count) + n_distinct * prob) / (total + n_distinct)
    };
    probs.extend(counts.iter().zip(lower).map(smoothed));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream with a rule of length two: after (0, 1) comes 2, after (3, 1) comes 4.
    fn ruled_stream() -> Vec<u32> {
        let mut draws = super::super::draws::Draws::new(1, 0);
        let mut tokens = Vec::new();
        for _ in 0..2_000 {
            tokens.extend(if draws.chance(50) {
                [0, 1, 2]
            } else {
                [3, 1, 4]
            });
        }
        tokens
    }

    #[test]
    fn every_state_is_a_distribution() {
        let teacher = NgramTeacher::fit(&ruled_stream(), 7, 20).unwrap();
        for row in teacher.log_probs_sv.chunks_exact(7) {
            let sum: f64 = row.iter().map(|&log_prob| f64::from(log_prob).exp()).sum();
            assert!((sum - 1.0).abs() < 1e-6, "{sum}");
        }
    }

    #[test]
    fn two_tokens_of_context_tell_what_one_cannot() {
        let tokens = ruled_stream();
        let with_pairs = NgramTeacher::fit(&tokens, 7, 20).unwrap();
        let without = NgramTeacher::fit(&tokens, 7, 0).unwrap();
        assert_eq!(without.n_states(), 7);
        assert!(with_pairs.log_probs(Some(0), 1)[2] > -0.01);
        assert!((without.log_probs(Some(0), 1)[2] - 0.5_f32.ln()).abs() < 0.05);
        // One of two words, drawn once in three tokens: ln 2 / 3 nats per token.
        assert!((with_pairs.mean_nll(&tokens) - 2.0_f64.ln() / 3.0).abs() < 0.02);
        assert!(with_pairs.mean_nll(&tokens) < without.mean_nll(&tokens));
        assert!(without.mean_nll(&tokens) < unigram_entropy(&tokens, 7));
    }

    #[test]
    fn the_start_of_a_sequence_falls_back_to_one_token() {
        let teacher = NgramTeacher::fit(&ruled_stream(), 7, 20).unwrap();
        assert_eq!(teacher.log_probs(None, 1), &teacher.log_probs_sv[7..14]);
    }

    #[test]
    fn a_token_past_the_vocabulary_is_named() {
        let error = NgramTeacher::fit(&[0, 1, 9, 2], 7, 0).unwrap_err();
        assert!(error.to_string().contains("token 9 at offset 2"), "{error}");
        assert!(matches!(
            NgramTeacher::fit(&[0], 7, 0),
            Err(DemoError::TooFewTokens { .. })
        ));
    }
}
