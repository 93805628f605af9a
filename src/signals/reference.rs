//! The slow, obvious version of the kernel in f64, with which the tests compare the fast one.

/// Every signal of one row. Lists are complete: the caller cuts them at K.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reference {
    pub(super) logsumexp: f64,
    pub(super) entropy: f64,
    /// All ids by (descending logit, ascending id).
    pub(super) ranked_ids: Vec<u32>,
    /// `[V]` full-softmax log-probabilities, by id.
    pub(super) logprob_v: Vec<f64>,
}

impl Reference {
    pub(super) fn of(row: &[f32]) -> Self {
        let z: Vec<f64> = row.iter().map(|&z| f64::from(z)).collect();
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let logsumexp = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
        let logprob_v: Vec<f64> = z.iter().map(|z| z - logsumexp).collect();
        let mut ranked_ids: Vec<u32> = (0..row.len() as u32).collect();
        ranked_ids.sort_by(|&a, &b| {
            z[b as usize]
                .partial_cmp(&z[a as usize])
                .expect("no NaN")
                .then(a.cmp(&b))
        });
        let plogp = |l: &f64| {
            if *l == f64::NEG_INFINITY {
                0.0
            } else {
                l.exp() * l
            }
        };
        Self {
            logsumexp,
            entropy: -logprob_v.iter().map(plogp).sum::<f64>(),
            ranked_ids,
            logprob_v,
        }
    }

    pub(super) fn target_rank(&self, target: u32) -> u32 {
        self.ranked_ids
            .iter()
            .position(|&id| id == target)
            .expect("every id is ranked") as u32
    }

    pub(super) fn tail_mass(&self, top_k: usize) -> f64 {
        self.ranked_ids
            .iter()
            .skip(top_k)
            .map(|&id| self.logprob_v[id as usize].exp())
            .sum()
    }

    /// `[V]` cumulative tempered probabilities, in order of ids, with which a uniform is compared.
    pub(super) fn cumulative(&self, tau: f64) -> Vec<f64> {
        let log_partition = self.log_partition(tau);
        let mut sum = 0.0;
        let add = |l: &f64| {
            sum += (l / tau - log_partition).exp();
            sum
        };
        self.logprob_v.iter().map(add).collect()
    }

    pub(super) fn log_partition(&self, tau: f64) -> f64 {
        self.logprob_v
            .iter()
            .map(|l| (l / tau).exp())
            .sum::<f64>()
            .ln()
    }
}
