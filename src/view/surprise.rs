//! How surprising a token was to the teacher, as a colour.

use anstyle::{AnsiColor, Style};

/// Steps of surprise, by the token's negative log-probability in nats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Surprise {
    /// No log-probability: the first token of a sequence, or one that the labels do not cover.
    Unknown,
    /// Probability over 0.9.
    Certain,
    /// Over 1/3 (NLL below ln 3).
    Likely,
    /// Over 1/20.
    Open,
    /// Over 1/400.
    Surprising,
    /// At most 1/400.
    Shocking,
}

/// The steps in order, with their meaning, for a legend.
pub const SURPRISE_LEGEND: [(Surprise, &str); 5] = [
    (Surprise::Certain, "p > 0.9"),
    (Surprise::Likely, "p > 1/3"),
    (Surprise::Open, "p > 1/20"),
    (Surprise::Surprising, "p > 1/400"),
    (Surprise::Shocking, "less"),
];

impl Surprise {
    /// The step of a log-probability in nats; `None` means that there is none.
    pub fn of(logprob: Option<f32>) -> Self {
        let Some(logprob) = logprob else {
            return Surprise::Unknown;
        };
        match logprob.exp() {
            prob if prob > 0.9 => Surprise::Certain,
            prob if prob > 1.0 / 3.0 => Surprise::Likely,
            prob if prob > 1.0 / 20.0 => Surprise::Open,
            prob if prob > 1.0 / 400.0 => Surprise::Surprising,
            _ => Surprise::Shocking,
        }
    }

    /// Only foreground colours, from the sixteen that every terminal's theme defines.
    pub fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Surprise::Unknown => Style::new().dimmed(),
            Surprise::Certain => Style::new(),
            Surprise::Likely => colour(AnsiColor::Green),
            Surprise::Open => colour(AnsiColor::Yellow),
            Surprise::Surprising => colour(AnsiColor::Red),
            Surprise::Shocking => colour(AnsiColor::Magenta).bold(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_change_at_the_probabilities_that_the_legend_names() {
        let step = |prob: f32| Surprise::of(Some(prob.ln()));
        assert_eq!(step(0.91), Surprise::Certain);
        assert_eq!(step(0.89), Surprise::Likely);
        assert_eq!(step(0.34), Surprise::Likely);
        assert_eq!(step(0.33), Surprise::Open);
        assert_eq!(step(0.051), Surprise::Open);
        assert_eq!(step(0.049), Surprise::Surprising);
        assert_eq!(step(0.002), Surprise::Shocking);
        assert_eq!(Surprise::of(Some(f32::NEG_INFINITY)), Surprise::Shocking);
        assert_eq!(Surprise::of(None), Surprise::Unknown);
    }

    #[test]
    fn every_step_looks_different() {
        let styles: Vec<Style> = SURPRISE_LEGEND
            .iter()
            .map(|(step, _)| step.style())
            .collect();
        for (idx, style) in styles.iter().enumerate() {
            assert!(!styles[..idx].contains(style));
        }
    }
}
