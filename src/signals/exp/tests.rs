use super::block::EXP_LOWEST;
use super::*;
use proptest::prelude::*;

/// Cephes' polynomial in f32 with fused operations: 2 units in the last place, plus a margin.
const EXP_RELATIVE_TOLERANCE: f64 = 3e-7;

#[test]
fn exp_is_within_tolerance_of_f64_over_its_whole_range() {
    for i in 0..=870_000 {
        let d = -(i as f32) * 1e-4;
        let (got, want) = (f64::from(exp_lane(d)), f64::from(d).exp());
        if d > EXP_LOWEST {
            assert!(
                (got / want - 1.0).abs() < EXP_RELATIVE_TOLERANCE,
                "{d} {got} {want}"
            );
        } else {
            assert_eq!(got, 0.0);
        }
    }
    assert_eq!(exp_lane(0.0), 1.0);
    assert_eq!(exp_lane(f32::NEG_INFINITY), 0.0);
}

/// Floats as bits, since `==` does not distinguish the two zeros.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// All results of an instruction set for a row, as bits.
#[derive(Debug, PartialEq)]
struct Outcome {
    scans: Vec<(u32, bool)>,
    floats: Vec<Vec<u32>>,
    total: u64,
    reached: Vec<usize>,
    ranks: [u32; 3],
}

fn outcome(isa: Isa, row: &[f32], inv_tau: f32) -> Outcome {
    let n_blocks = row.len().div_ceil(BLOCK);
    let blocks = || vec![0.0; n_blocks];
    let (mut maxima, mut exp_b, mut weighted_b, mut tempered_b) =
        (blocks(), blocks(), blocks(), blocks());
    let scan = isa.scan(row, &mut maxima);
    let max = scan.max.max(-30.0);
    isa.exp_sums(row, max, Ahead::NOTHING, &mut exp_b, &mut weighted_b);
    isa.tempered_sums(row, max, inv_tau, &mut tempered_b);
    let start = &row[..row.len().min(BLOCK)];
    let values = isa.exp_values(&padded(start), max, inv_tau);
    let mut scans = vec![(scan.max.to_bits(), scan.usable)];
    let mut floats: Vec<_> = [&maxima, &exp_b, &weighted_b, &tempered_b, &values[..]]
        .map(bits)
        .into();
    let f16: Vec<u16> = (row.iter().map(|z| half::f16::from_f32(*z).to_bits())).collect();
    let bf16: Vec<u16> = (row.iter().map(|z| half::bf16::from_f32(*z).to_bits())).collect();
    for halves in [Halves::F16(&f16), Halves::Bf16(&bf16)] {
        let (mut widened, mut half_maxima) = (vec![0.0; row.len()], blocks());
        let scan = isa.widen_and_scan(halves, &mut widened, &mut half_maxima);
        scans.push((scan.max.to_bits(), scan.usable));
        floats.extend([bits(&widened), bits(&half_maxima)]);
    }
    let mut reached = Vec::new();
    isa.each_at_least(row, row[0], |i| reached.push(i));
    Outcome {
        scans,
        floats,
        total: isa.total(&exp_b).to_bits(),
        reached,
        ranks: [0, row.len() / 2, row.len() - 1].map(|id| isa.rank_of(row, &maxima, id)),
    }
}

/// Rows with logits up to `highest`, masked ids, and zeros of both signs.
fn rows(highest: f32) -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![
        8 => -30.0..highest,
        1 => Just(f32::NEG_INFINITY),
        1 => Just(0.0),
        1 => Just(-0.0),
    ];
    prop::collection::vec(logit, 1..400)
}

proptest! {
    #[test]
    fn every_instruction_set_gives_the_same_bits(
        // If no logit is positive, the zeros are the maximum.
        row in prop_oneof![rows(30.0), rows(0.0)],
        inv_tau in 0.25_f32..4.0,
    ) {
        let portable = outcome(Isa::Portable, &row, inv_tau);
        for isa in Isa::available() {
            prop_assert_eq!(&outcome(isa, &row, inv_tau), &portable, "{}", isa.name());
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn every_feature_that_a_function_enables_is_asked_for() {
    let source = include_str!("x86.rs");
    let attributes = source.split("#[target_feature(enable = \"").skip(1);
    let features: std::collections::BTreeSet<&str> = attributes
        .flat_map(|rest| rest.split('"').next().unwrap().split(','))
        .collect();
    assert!(features.contains("popcnt"), "{features:?}");
    // SSE is part of x86-64 itself.
    for feature in features.into_iter().filter(|feature| *feature != "sse") {
        assert!(
            source.contains(&format!("has!(\"{feature}\")")),
            "{feature}"
        );
    }
}
