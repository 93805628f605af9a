//! Philox4x32-10, a counter-based generator: four 32-bit words as a pure function of key and
//! counter (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const N_ROUNDS: usize = 10;

/// The four words at `counter`.
pub(super) fn philox(mut key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
    let mut words = counter;
    for _ in 0..N_ROUNDS {
        words = round(key, words);
        key = [
            key[0].wrapping_add(KEY_STEPS[0]),
            key[1].wrapping_add(KEY_STEPS[1]),
        ];
    }
    words
}

/// The counter's third word in [`uniform_at`]; for a draw it is the position, which is smaller.
const SEQUENCE_COUNTER: u32 = u32::MAX;

/// A number in (0, 1) for each sequence, a function of seed and `seq_id` only, and independent of the draws at its
/// positions: 52 bits, in the middle of their step, so that neither end is reached.
pub fn uniform_at(seed: u64, seq_id: u64) -> f64 {
    let key = [seed as u32, (seed >> 32) as u32];
    let counter = [seq_id as u32, (seq_id >> 32) as u32, SEQUENCE_COUNTER, 0];
    let [low, high, ..] = philox(key, counter);
    let bits = (u64::from(high) << 32 | u64::from(low)) >> 12;
    (bits as f64 + 0.5) / (1_u64 << 52) as f64
}

fn round(key: [u32; 2], [a, b, c, d]: [u32; 4]) -> [u32; 4] {
    let product = |x: u32, multiplier: u32| {
        let wide = u64::from(x) * u64::from(multiplier);
        ((wide >> 32) as u32, wide as u32)
    };
    let (high_a, low_a) = product(a, MULTIPLIERS[0]);
    let (high_c, low_c) = product(c, MULTIPLIERS[1]);
    [high_c ^ b ^ key[0], low_c, high_a ^ d ^ key[1], low_a]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniforms_of_sequences_are_spread_and_differ_by_seed() {
        let n = 20_000;
        let of_seed = |seed| (0..n).map(move |seq_id| uniform_at(seed, seq_id));
        let mean = of_seed(7).sum::<f64>() / n as f64;
        let below = of_seed(7).filter(|&u| u < 0.1).count() as f64 / n as f64;
        // Four standard deviations.
        assert!(
            (mean - 0.5).abs() < 4.0 * (1.0 / 12.0 / n as f64).sqrt(),
            "{mean}"
        );
        assert!(
            (below - 0.1).abs() < 4.0 * (0.09 / n as f64).sqrt(),
            "{below}"
        );
        assert!(of_seed(7).all(|u| u > 0.0 && u < 1.0));
        assert!(of_seed(7).zip(of_seed(8)).all(|(a, b)| a != b));
    }

    /// Known answers from Random123 1.14 (`kat_vectors`, `philox4x32 10`).
    #[test]
    fn known_answers_come_out() {
        let cases = [
            (
                [0; 2],
                [0; 4],
                [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
            ),
            (
                [u32::MAX; 2],
                [u32::MAX; 4],
                [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
            ),
            (
                [0xa409_3822, 0x299f_31d0],
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (key, counter, expected) in cases {
            assert_eq!(philox(key, counter), expected);
        }
    }
}
