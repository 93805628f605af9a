use super::super::reference::Reference;
use super::*;
use proptest::prelude::*;

/// Probability by which a cumulative sum of f32 terms may be off: terms have a relative error of
/// 3e-7, and a block's are added in f32.
const CUMULATIVE_TOLERANCE: f64 = 2e-6;

fn sampler(n_draws: u16, tau: f64, seed: u64) -> Sampler {
    Sampler::new(Sampling { n_draws, tau, seed })
}

/// The draws of one position, one id each, in the order of their uniforms.
fn draw(sampler: &mut Sampler, row: &[f32], key: DrawKey) -> Vec<u32> {
    let isa = Isa::detect();
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let inv_tau = sampler.inv_tau();
    let mut exp_b = vec![0.0; row.len().div_ceil(BLOCK)];
    isa.tempered_sums(row, max, inv_tau, &mut exp_b);
    let summed = SummedRow {
        row,
        max,
        inv_tau,
        exp_b: &exp_b,
    };
    sampler.draw(isa, summed, key);
    let counted = sampler.ids.iter().zip(&sampler.counts);
    counted
        .flat_map(|(&id, &count)| std::iter::repeat_n(id, usize::from(count)))
        .collect()
}

fn rows() -> impl Strategy<Value = Vec<f32>> {
    let value = prop_oneof![
        6 => -12.0_f32..12.0,
        1 => Just(f32::NEG_INFINITY),
        1 => Just(3.0_f32),
    ];
    prop::collection::vec(value, 1..500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn every_uniform_picks_the_id_whose_span_it_falls_in(
        row in rows(),
        tau in prop_oneof![Just(1.0), 0.3_f64..4.0],
        seed in any::<u64>(),
        seq_id in any::<u64>(),
        position in any::<u32>(),
    ) {
        prop_assume!(row.iter().any(|z| *z > f32::NEG_INFINITY));
        let mut sampler = sampler(50, tau, seed);
        let drawn = draw(&mut sampler, &row, DrawKey { seq_id, position });
        prop_assert_eq!(drawn.len(), 50);
        let cumulative = Reference::of(&row).cumulative(tau);
        for (&u, &id) in sampler.uniforms.iter().zip(&drawn) {
            let id = id as usize;
            let below = if id == 0 { 0.0 } else { cumulative[id - 1] };
            prop_assert!(row[id] > f32::NEG_INFINITY);
            prop_assert!(u >= below - CUMULATIVE_TOLERANCE && u < cumulative[id] + CUMULATIVE_TOLERANCE);
        }
    }
}

/// Pearson's statistic over a million draws, with 499 degrees of freedom: above 603.1 for one
/// sample in a thousand (chi-square, p = 0.001). Seeds are fixed, so the test is deterministic.
#[test]
fn a_million_draws_follow_the_distribution() {
    const CRITICAL: f64 = 603.1;
    let row: Vec<f32> = (0..500).map(|i| (i as f32 * 0.7).sin() * 2.0).collect();
    for (tau, seed) in [(1.0, 11), (1.0, 12), (2.0, 13), (0.7, 14)] {
        let mut sampler = sampler(50, tau, seed);
        let mut n_drawn = vec![0_u32; row.len()];
        for i in 0..20_000_u32 {
            let key = DrawKey {
                seq_id: u64::from(i / 200),
                position: i % 200,
            };
            draw(&mut sampler, &row, key)
                .iter()
                .for_each(|&id| n_drawn[id as usize] += 1);
        }
        let reference = Reference::of(&row);
        let log_partition = reference.log_partition(tau);
        let statistic: f64 = reference
            .logprob_v
            .iter()
            .zip(&n_drawn)
            .map(|(l, &n)| {
                let expected = 1e6 * (l / tau - log_partition).exp();
                (f64::from(n) - expected).powi(2) / expected
            })
            .sum();
        assert!(statistic < CRITICAL, "{statistic} at tau {tau}");
    }
}

#[test]
fn draws_depend_on_seed_sequence_and_position_and_on_nothing_else() {
    let row: Vec<f32> = (0..200).map(|i| (i as f32).cos()).collect();
    let drawn = |seed, seq_id, position| {
        draw(
            &mut sampler(20, 1.0, seed),
            &row,
            DrawKey { seq_id, position },
        )
    };
    assert_eq!(drawn(1, 2, 3), drawn(1, 2, 3));
    for other in [
        drawn(9, 2, 3),
        drawn(1, 9, 3),
        drawn(1, 2, 9),
        drawn(1, 2 + (1 << 32), 3),
    ] {
        assert_ne!(drawn(1, 2, 3), other);
    }
    let mut used = sampler(20, 1.0, 1);
    draw(
        &mut used,
        &row[..70],
        DrawKey {
            seq_id: 0,
            position: 0,
        },
    );
    assert_eq!(
        draw(
            &mut used,
            &row,
            DrawKey {
                seq_id: 2,
                position: 3
            }
        ),
        drawn(1, 2, 3)
    );
}

#[test]
fn the_first_draws_of_a_longer_list_are_those_of_a_shorter_one() {
    let key = DrawKey {
        seq_id: 5,
        position: 6,
    };
    let mut uniforms = [Vec::new(), Vec::new()];
    for (n_draws, uniforms) in [7, 50].into_iter().zip(&mut uniforms) {
        sorted_uniforms(
            Sampling {
                n_draws,
                tau: 1.0,
                seed: 8,
            },
            key,
            uniforms,
        );
    }
    assert!(uniforms[0].iter().all(|u| uniforms[1].contains(u)));
    assert!(uniforms[1].iter().all(|u| (0.0..1.0).contains(u)));
}

#[test]
fn a_single_id_with_mass_gets_every_draw() {
    let mut row = vec![f32::NEG_INFINITY; 300];
    row[299] = -5.0;
    let key = DrawKey {
        seq_id: 0,
        position: 0,
    };
    assert_eq!(draw(&mut sampler(50, 1.0, 0), &row, key), [299; 50]);
}
