//! SplitMix64 (Steele, Lea and Flood, 2014): random numbers by index, as a pure function of their key.

/// 2^64 divided by the golden ratio: the increment of the generator's state.
pub(crate) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output of the generator in state `state`: a bijection in which every input bit reaches every
/// output bit.
pub(crate) fn splitmix64(state: u64) -> u64 {
    finalise(state.wrapping_add(GOLDEN))
}

/// Its finalizer, also a bijection, which maps 0 to 0.
pub(crate) fn finalise(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The generator itself, for tests: the same numbers on every machine.
#[cfg(test)]
pub(crate) fn next(state: &mut u64) -> u64 {
    let value = splitmix64(*state);
    *state = state.wrapping_add(GOLDEN);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_outputs_are_those_of_the_reference_implementation() {
        let mut state = 0;
        assert_eq!(next(&mut state), 0xe220_a839_7b1d_cdaf);
        assert_eq!(next(&mut state), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(finalise(0), 0);
    }
}
