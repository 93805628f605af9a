//! Paints, each with a tone on light ground and one on dark.

/// How many arms have a colour of their own; later ones use the colours again, dashed.
pub(crate) const N_ARM_COLORS: usize = 8;

/// What a shape is painted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Text, and whatever is most important.
    Ink,
    /// Less important text and lines.
    Muted,
    /// Lines of the grid.
    Grid,
    /// The chosen part, in figures that are not about arms.
    Chosen,
    /// The rest, in those figures.
    Rest,
    /// An arm, by its index: 0 is the baseline.
    Arm(usize),
}

/// Name of the CSS variable, tone on light ground, tone on dark.
type Tone = (&'static str, u32, u32);

/// In the order of [`Paint`], and the ground last. Arms have the colours of Okabe and Ito, which colour-blind readers
/// can tell apart, a little darker or lighter where the background needs it. The baseline has the colour of text.
/// Yellow is too pale on white.
const TONES: [Tone; 6 + N_ARM_COLORS] = [
    ("ink", 0x1c_21_28, 0xe4_e7_eb),
    ("muted", 0x5b_64_70, 0xa0_a8_b3),
    ("grid", 0xe4_e7_eb, 0x30_36_3e),
    ("chosen", 0x00_72_b2, 0x4d_a8_e8),
    ("rest", 0xc3_ca_d3, 0x4a_52_5d),
    ("a0", 0x26_2b_33, 0xe4_e7_eb),
    ("a1", 0x00_72_b2, 0x4d_a8_e8),
    ("a2", 0xd5_5e_00, 0xf2_84_3a),
    ("a3", 0x00_9e_73, 0x2f_c4_97),
    ("a4", 0xc4_6a_9c, 0xe7_9c_c6),
    ("a5", 0xd0_8c_00, 0xf0_b8_3a),
    ("a6", 0x3f_a4_de, 0x93_d3_f7),
    ("a7", 0x7d_1f_4d, 0xbf_62_90),
    ("paper", 0xff_ff_ff, 0x16_1a_1f),
];

impl Paint {
    /// Name of the CSS variable for its tone.
    pub(crate) fn name(self) -> &'static str {
        let place = match self {
            Self::Ink => 0,
            Self::Muted => 1,
            Self::Grid => 2,
            Self::Chosen => 3,
            Self::Rest => 4,
            Self::Arm(arm) => 5 + slot(arm),
        };
        TONES[place].0
    }

    /// The arm, if it stands for one.
    pub(crate) fn arm(self) -> Option<usize> {
        match self {
            Self::Arm(arm) => Some(arm),
            _ => None,
        }
    }

    /// Whether its lines are dashed because it shares its colour with another arm.
    pub(super) fn is_repeated(self) -> bool {
        self.arm().is_some_and(|arm| arm >= N_ARM_COLORS)
    }
}

/// Index of an arm's colour and mark.
pub(super) fn slot(arm: usize) -> usize {
    if arm < N_ARM_COLORS {
        arm
    } else {
        // The baseline's colour is not reused.
        1 + (arm - N_ARM_COLORS) % (N_ARM_COLORS - 1)
    }
}

/// Declarations of all tones, for a light or a dark ground: `--ink:#1c2128;...`.
pub(crate) fn variables(is_dark: bool) -> String {
    let of = |&(name, light, dark): &Tone| {
        format!("--{name}:#{:06x};", if is_dark { dark } else { light })
    };
    TONES.iter().map(of).collect()
}

/// Rules for the classes of the SVG, `s-NAME` strokes and `f-NAME` fills: with a page's variables, or with the
/// light tones themselves, for viewers without CSS variables.
pub(crate) fn rules(by_variable: bool) -> String {
    let of = |&(name, light, _): &Tone| {
        let tone = match by_variable {
            true => format!("var(--{name})"),
            false => format!("#{light:06x}"),
        };
        format!(".s-{name}{{stroke:{tone}}}.f-{name}{{fill:{tone}}}")
    };
    TONES.iter().map(of).collect()
}
