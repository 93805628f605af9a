//! Paints, each with a tone on light ground and one on dark.

use plotters::style::RGBColor;

/// How many arms have a colour of their own; later ones come around again, dashed.
pub(crate) const N_ARM_COLORS: usize = 8;

/// What a shape is painted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Text and what is to be read first.
    Ink,
    /// Text and lines that stand back.
    Muted,
    /// Lines of the grid.
    Grid,
    /// The ground itself.
    Paper,
    /// An arm, by its place: 0 is the baseline.
    Arm(usize),
    /// What is chosen, in figures that are not about arms.
    Chosen,
    /// What is not.
    Rest,
}

/// Name of the CSS variable, tone on light ground, tone on dark.
type Tone = (&'static str, u32, u32);

/// After Okabe and Ito, whose colours the colour-blind tell apart, a little darker or lighter where
/// the ground asks for it. The baseline has the colour of text. Yellow is too pale on white.
const ARMS: [Tone; N_ARM_COLORS] = [
    ("a0", 0x26_2b_33, 0xe4_e7_eb),
    ("a1", 0x00_72_b2, 0x4d_a8_e8),
    ("a2", 0xd5_5e_00, 0xf2_84_3a),
    ("a3", 0x00_9e_73, 0x2f_c4_97),
    ("a4", 0xc4_6a_9c, 0xe7_9c_c6),
    ("a5", 0xd0_8c_00, 0xf0_b8_3a),
    ("a6", 0x3f_a4_de, 0x93_d3_f7),
    ("a7", 0x7d_1f_4d, 0xbf_62_90),
];
const OTHERS: [(Paint, Tone); 6] = [
    (Paint::Ink, ("ink", 0x1c_21_28, 0xe4_e7_eb)),
    (Paint::Muted, ("muted", 0x5b_64_70, 0xa0_a8_b3)),
    (Paint::Grid, ("grid", 0xe4_e7_eb, 0x30_36_3e)),
    (Paint::Paper, ("paper", 0xff_ff_ff, 0x16_1a_1f)),
    (Paint::Chosen, ("chosen", 0x00_72_b2, 0x4d_a8_e8)),
    (Paint::Rest, ("rest", 0xc3_ca_d3, 0x4a_52_5d)),
];

impl Paint {
    fn tone(self) -> Tone {
        if let Self::Arm(arm) = self {
            return ARMS[slot(arm)];
        }
        let found = OTHERS.iter().find(|(paint, _)| *paint == self);
        found.map_or(ARMS[0], |(_, tone)| *tone)
    }

    /// Name of the variable that holds its tone.
    pub(crate) fn name(self) -> &'static str {
        self.tone().0
    }

    /// On light ground.
    pub(crate) fn light(self) -> RGBColor {
        let [_, red, green, blue] = self.tone().1.to_be_bytes();
        RGBColor(red, green, blue)
    }

    /// The arm that it stands for.
    pub(crate) fn arm(self) -> Option<usize> {
        match self {
            Self::Arm(arm) => Some(arm),
            _ => None,
        }
    }

    /// Whether its lines are dashed, since its colour is another arm's too.
    pub(crate) fn comes_again(self) -> bool {
        self.arm().is_some_and(|arm| arm >= N_ARM_COLORS)
    }
}

/// Which colour, and which mark, an arm has.
pub(crate) fn slot(arm: usize) -> usize {
    if arm < N_ARM_COLORS {
        arm
    } else {
        // The baseline's colour stays its own.
        1 + (arm - N_ARM_COLORS) % (N_ARM_COLORS - 1)
    }
}

/// Declarations of all tones, on light ground or on dark: `--ink:#1c2128;...`.
pub(crate) fn variables(is_dark: bool) -> String {
    let tones = OTHERS.iter().map(|(_, tone)| tone).chain(&ARMS);
    tones
        .map(|(name, light, dark)| format!("--{name}:#{:06x};", if is_dark { dark } else { light }))
        .collect()
}

/// Rules for the classes that the vectors use: `s-NAME` strokes and `f-NAME` fills.
pub(crate) fn rules() -> String {
    let tones = OTHERS.iter().map(|(_, tone)| tone).chain(&ARMS);
    tones
        .map(|(name, _, _)| {
            format!(".s-{name}{{stroke:var(--{name});fill:none}}.f-{name}{{fill:var(--{name})}}")
        })
        .collect()
}
