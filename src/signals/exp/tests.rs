use super::*;
use proptest::prelude::*;

/// Cephes' polynomial in f32 with fused operations: 2 units in the last place, and some room.
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

proptest! {
    #[test]
    fn every_instruction_set_gives_the_same_bits(
        row in prop::collection::vec(prop_oneof![8 => -30.0_f32..30.0, 1 => Just(f32::NEG_INFINITY)], 1..400),
        inv_tau in 0.25_f32..4.0,
    ) {
        let n_blocks = row.len().div_ceil(BLOCK);
        let outcome = |isa: Isa| {
            let mut maxima = vec![0.0; n_blocks];
            let scan = isa.scan(&row, &mut maxima);
            let half: Vec<u16> = row.iter().map(|z| half::f16::from_f32(*z).to_bits()).collect();
            let (mut widened, mut half_maxima) = (vec![0.0; row.len()], vec![0.0; n_blocks]);
            let half_scan = isa.widen_and_scan(Halves::F16(&half), &mut widened, &mut half_maxima);
            let halves = (half_scan, widened, half_maxima);
            let max = scan.max.max(-30.0);
            let (mut exp_b, mut weighted_b) = (vec![0.0; n_blocks], vec![0.0; n_blocks]);
            isa.exp_sums(&row, max, Ahead::NOTHING, &mut exp_b, &mut weighted_b);
            let mut tempered_b = vec![0.0; n_blocks];
            isa.tempered_sums(&row, max, inv_tau, &mut tempered_b);
            let sums = (isa.total(&exp_b), exp_b, weighted_b, tempered_b);
            let mut reached = Vec::new();
            isa.each_at_least(&row, row[0], |i| reached.push(i));
            let ranks = [0, row.len() / 2, row.len() - 1].map(|id| isa.rank_of(&row, &maxima, id));
            (maxima, scan, halves, sums, reached, ranks)
        };
        let portable = outcome(Isa::Portable);
        for isa in Isa::available() {
            prop_assert_eq!(&outcome(isa), &portable, "{}", isa.name());
        }
    }
}
