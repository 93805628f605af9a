use super::Rounding;
use proptest::prelude::*;

const FEW_BITS: [Rounding; 4] = [Rounding::Bf16, Rounding::M6, Rounding::M5, Rounding::M4];

/// The nearest number with `bits` explicit mantissa bits, ties to even, computed in f64.
fn nearest(value: f32, bits: i32) -> f32 {
    if value == 0.0 {
        return value;
    }
    let exponent = f64::from(value).abs().log2().floor() as i32;
    let unit = 2f64.powi(exponent - bits);
    ((f64::from(value) / unit).round_ties_even() * unit) as f32
}

proptest! {
    #[test]
    fn fewer_mantissa_bits_are_the_nearest_numbers_that_have_them(value in -1e30f32..-1e-30) {
        for (rounding, bits) in FEW_BITS.into_iter().zip([7, 6, 5, 4]) {
            prop_assert_eq!(rounding.round(value), nearest(value, bits), "{:?} of {}", rounding, value);
        }
    }

    #[test]
    fn rounding_keeps_order_and_what_is_rounded(a in -60f32..=0.0, b in -60f32..=0.0) {
        for rounding in Rounding::ALL {
            let (a, b) = (rounding.round(a.min(b)), rounding.round(a.max(b)));
            prop_assert!(a <= b, "{rounding:?}: {a} > {b}");
            prop_assert_eq!(rounding.round(a), a);
        }
    }

    #[test]
    fn a_rounded_value_is_off_by_half_a_step_at_most(value in -60f32..-1e-3) {
        for rounding in Rounding::ALL {
            let off = f64::from(rounding.round(value) - value).abs();
            let allowed = 0.5 * rounding.step() * f64::from(value).abs();
            prop_assert!(off <= allowed, "{rounding:?}: {value} by {off}");
        }
    }

    #[test]
    fn a_rounded_tail_is_a_probability_off_by_half_a_step_at_most(tail in 0f64..=1.0) {
        for rounding in Rounding::ALL {
            let stored = f64::from(rounding.round_tail(tail));
            // Without rounding the step is that of f32, and the cast has half of it.
            prop_assert!((stored - tail).abs() <= 0.5 * rounding.tail_step() * tail);
            prop_assert!((0.0..=1.0).contains(&stored));
        }
    }
}

#[test]
fn zero_and_minus_infinity_stay_what_they_are() {
    for rounding in Rounding::ALL {
        assert_eq!(rounding.round(0.0), 0.0);
        assert_eq!(rounding.round(f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert_eq!(
            (rounding.round_tail(0.0), rounding.round_tail(1.0)),
            (0.0, 1.0)
        );
    }
}

#[test]
fn ties_go_to_the_even_mantissa_and_carries_to_the_next_power_of_two() {
    // At 5 bits the values just above 1 are 1/32 apart.
    assert_eq!(Rounding::M5.round(-(1.0 + 1.0 / 64.0)), -1.0);
    assert_eq!(Rounding::M5.round(-(1.0 + 3.0 / 64.0)), -(1.0 + 2.0 / 32.0));
    assert_eq!(Rounding::M5.round(-1.99), -2.0);
}

#[test]
fn tails_are_only_rounded_where_log_probabilities_have_fewer_bits_than_bfloat16() {
    let tail = 0.123_456_79_f32;
    let stored = Rounding::ALL.map(|rounding| rounding.round_tail(f64::from(tail)));
    assert_eq!(stored[..3], [tail; 3]);
    assert_eq!(stored[3..], [nearest(tail, 10); 3]);
}
