//! Means over seeds, and numbers as a reader wants them.

/// Values of the seeds of one arm.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Spread {
    pub(super) values: Vec<f64>,
}

impl Spread {
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values
            .into_iter()
            .filter(|value| value.is_finite())
            .collect();
        (!values.is_empty()).then_some(Self { values })
    }

    pub(super) fn mean(&self) -> f64 {
        self.values.iter().sum::<f64>() / self.values.len() as f64
    }

    /// Sample standard deviation, n - 1 below the line; `None` of a single value.
    pub(super) fn deviation(&self) -> Option<f64> {
        let n = self.values.len();
        let mean = self.mean();
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        (n > 1).then(|| (squares / (n - 1) as f64).sqrt())
    }

    pub(super) fn low(&self) -> f64 {
        self.values.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(super) fn high(&self) -> f64 {
        self.values
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max)
    }

    /// Mean, with the deviation where there is one: `4.175 ± 0.012`.
    pub(super) fn text(&self, digits: usize) -> String {
        match self.deviation() {
            Some(deviation) => format!("{} ± {deviation:.digits$}", fixed(self.mean(), digits)),
            None => fixed(self.mean(), digits),
        }
    }
}

/// With a true minus sign.
pub(super) fn fixed(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.strip_prefix('-') {
        // No negative zero.
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
        Some(rest) => format!("\u{2212}{rest}"),
        None => text,
    }
}

/// With its sign, whichever it is.
pub(super) fn signed(value: f64, digits: usize) -> String {
    let text = fixed(value, digits);
    let is_zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if is_zero || text.starts_with('\u{2212}') {
        text
    } else {
        format!("+{text}")
    }
}

/// A whole number in groups of three.
pub(super) fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Two or three digits and a unit: `9.3M`.
pub(super) fn short(value: f64) -> String {
    let units = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(size, _)| value >= *size) {
        Some((size, unit)) if value / size >= 100.0 => format!("{:.0}{unit}", value / size),
        Some((size, unit)) => format!("{:.1}{unit}", value / size),
        None if value.fract() == 0.0 => format!("{value:.0}"),
        None => format!("{value:.2}"),
    }
}

/// Time in the unit that reads well.
pub(super) fn duration(seconds: f64) -> String {
    match seconds {
        s if s >= 7200.0 => format!("{:.1} h", s / 3600.0),
        s if s >= 120.0 => format!("{:.1} min", s / 60.0),
        s => format!("{s:.0} s"),
    }
}

/// A share as a whole percentage.
pub(super) fn percent(share: f64) -> String {
    format!("{:.0}\u{202f}%", share * 100.0)
}

/// As the beginning of a sentence.
pub(super) fn upper_first(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(characters).collect()
}
