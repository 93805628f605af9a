//! Human-readable sizes.

/// Bytes in a text such as `1073741824`, `1.5 TB` or `200GiB`: `K`, `M`, `G` and `T` are powers of 1,000 before `B` and
/// of 1,024 otherwise; `None` if it is not a size.
pub(super) fn bytes_of(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(end.unwrap_or(text.len()));
    let (number, unit) = (
        number.parse::<f64>().ok()?,
        unit.trim().to_ascii_lowercase(),
    );
    let power = match unit.chars().next() {
        None | Some('b') => 0,
        Some(letter) => "kmgt".find(letter)? as i32 + 1,
    };
    let rest = unit.get(usize::from(power > 0)..)?;
    let base: f64 = match (power, rest) {
        (_, "b") => 1000.0,
        (_, "") | (1.., "ib") => 1024.0,
        _ => return None,
    };
    let bytes = number * base.powi(power);
    // `as` saturates.
    (bytes.is_finite() && bytes >= 1.0).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::bytes_of;

    #[test]
    fn sizes_have_units_by_thousands_or_by_1024() {
        for (text, expected) in [
            ("1", 1),
            ("1073741824", 1 << 30),
            ("10 B", 10),
            ("200GB", 200_000_000_000),
            ("1.5 TiB", 3 << 39),
            ("2k", 2048),
            ("8m", 8 << 20),
        ] {
            assert_eq!(bytes_of(text), Some(expected), "{text}");
        }
        for text in ["", "0", "G", "-1", "1..2", "1 GBs", "1 PB", "1 ib", "all"] {
            assert_eq!(bytes_of(text), None, "{text}");
        }
    }
}
