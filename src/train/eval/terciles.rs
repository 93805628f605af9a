//! Exact boundaries between easy, medium and hard positions, in bounded memory.

use super::EvalError;
use crate::signals::Counts;

/// Possible values of the upper, and of the lower, half of a number's bits.
const N_HALVES: usize = 1 << 16;

/// The two values that split the NLLs into thirds: the smallest value such that at least a third of all are at
/// most that, and the same for two thirds. So a third or a little more are `easy` (at most the first), up to
/// another third `medium` (at most the second), and the rest `hard`. `None` without values.
///
/// Exact for any number of values, in 1 MiB: `for_each` is called twice to visit all of them, first to count
/// the upper halves of their bits, then the lower halves of those that share the upper half with a boundary.
/// Values are 0 or more, including infinity.
///
/// # Errors
/// Those of `for_each`.
pub(super) fn terciles(
    mut for_each: impl FnMut(&mut dyn FnMut(f32)) -> Result<(), EvalError>,
) -> Result<Option<[f64; 2]>, EvalError> {
    let mut upper = Counts::new(N_HALVES);
    for_each(&mut |nll| upper.add((ordered(nll) >> 16) as usize))?;
    if upper.within(0..N_HALVES) == 0 {
        return Ok(None);
    }
    let found = upper.terciles();
    let mut lower = [Counts::new(N_HALVES), Counts::new(N_HALVES)];
    for_each(&mut |nll| {
        let bits = ordered(nll);
        for (counts, (half, _)) in lower.iter_mut().zip(&found) {
            if (bits >> 16) as usize == *half {
                counts.add((bits & 0xffff) as usize);
            }
        }
    })?;
    let boundary = |i: usize| {
        let (half, rank) = found[i];
        let (low, _) = lower[i].find(rank);
        f64::from(f32::from_bits((half as u32) << 16 | low as u32))
    };
    Ok(Some([boundary(0), boundary(1)]))
}

/// Bits in the same order as the values, for values of 0 or more. A probability that rounds to more than 1 has
/// a tiny negative NLL, which counts as 0, as does -0.
fn ordered(nll: f32) -> u32 {
    if nll > 0.0 { nll.to_bits() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(nlls: &[f32]) -> Option<[f64; 2]> {
        terciles(|visit| {
            nlls.iter().for_each(|&nll| visit(nll));
            Ok(())
        })
        .unwrap()
    }

    fn slow(nlls: &[f32]) -> [f64; 2] {
        let mut sorted = nlls.to_vec();
        sorted.sort_by(f32::total_cmp);
        let n = sorted.len();
        [n.div_ceil(3), (2 * n).div_ceil(3)].map(|rank| f64::from(sorted[rank - 1]))
    }

    proptest! {
        #[test]
        fn boundaries_are_those_of_the_sorted_values(
            nlls in prop::collection::vec(
                prop_oneof![0.0_f32..20.0, 1.0_f32..1.0001, Just(0.0), Just(3.5), Just(f32::INFINITY)],
                1..200,
            ),
        ) {
            prop_assert_eq!(of(&nlls).unwrap(), slow(&nlls));
        }
    }

    #[test]
    fn terciles_of_a_few_values() {
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[2.0]), Some([2.0, 2.0]));
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some([1.0, 2.0]));
        assert_eq!(of(&[0.0, 0.0, 0.0, 9.0]), Some([0.0, 0.0]));
    }
}
