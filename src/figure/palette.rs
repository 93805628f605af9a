//! Paints, each with a tone on light ground and one on dark.

/// How many arms have a colour of their own; later ones use the colours again, dashed.
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
    /// What is chosen, in figures that are not about arms.
    Chosen,
    /// What is not.
    Rest,
    /// An arm, by its place: 0 is the baseline.
    Arm(usize),
}

/// Name of the CSS variable, tone on light ground, tone on dark.
type Tone = (&'static str, u32, u32);

/// In the order of [`Paint`], and the ground last. Arms are after Okabe and Ito, whose colours the colour-blind tell apart,
/// a little darker or lighter where the ground asks for it. The baseline has the colour of text.
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
    /// Name of the variable that holds its tone.
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

    /// The arm that it stands for.
    pub(crate) fn arm(self) -> Option<usize> {
        match self {
            Self::Arm(arm) => Some(arm),
            _ => None,
        }
    }

    /// Whether its lines are dashed, since its colour is another arm's too.
    pub(super) fn is_repeated(self) -> bool {
        self.arm().is_some_and(|arm| arm >= N_ARM_COLORS)
    }
}

/// Which colour, and which mark, an arm has.
pub(super) fn slot(arm: usize) -> usize {
    if arm < N_ARM_COLORS {
        arm
    } else {
        // The baseline's colour stays its own.
        1 + (arm - N_ARM_COLORS) % (N_ARM_COLORS - 1)
    }
}

/// Declarations of all tones, on light ground or on dark: `--ink:#1c2128;...`.
pub(crate) fn variables(is_dark: bool) -> String {
    let of = |&(name, light, dark): &Tone| {
        format!("--{name}:#{:06x};", if is_dark { dark } else { light })
    };
    TONES.iter().map(of).collect()
}

/// Rules for the classes of the SVG, `s-NAME` strokes and `f-NAME` fills: by the variables of a page,
/// or by the light tones themselves, for readers that know no variables.
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
