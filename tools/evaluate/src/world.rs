//! The world of moving shapes: its words, and the combinations that training leaves out.
//!
//! The same as `tools/train/words.py`; a test there and here pins the number of combinations.

/// Declares an attribute: its values in order and their plain words.
macro_rules! attribute {
    ($(#[$doc:meta])* $name:ident { $($(#[$value_doc:meta])* $value:ident = $word:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[allow(missing_docs, reason = "the words say it")]
        pub enum $name { $($(#[$value_doc])* $value),* }

        impl $name {
            /// All values.
            pub const ALL: &[Self] = &[$(Self::$value),*];

            /// The plain word.
            pub fn word(self) -> &'static str {
                match self { $(Self::$value => $word),* }
            }
        }
    };
}

attribute! {
    /// The colour of an object.
    Colour {
        Red = "red", Orange = "orange", Yellow = "yellow", Green = "green", Cyan = "cyan", Blue = "blue",
        Purple = "purple", Pink = "pink", White = "white",
    }
}

attribute! {
    /// The colour of the background.
    Ground {
        Black = "black", Gray = "gray", White = "white", Blue = "blue", Navy = "navy", Teal = "teal", Brown = "brown",
        Olive = "olive", Maroon = "maroon",
    }
}

attribute! {
    /// What an object looks like.
    Shape { Circle = "circle", Square = "square", Triangle = "triangle", Star = "star", Ring = "ring" }
}

attribute! {
    /// What an object does.
    Motion {
        Left = "left", Right = "right", Up = "up", Down = "down", Bouncing = "bouncing", Circling = "circling",
        Growing = "growing", Shrinking = "shrinking", Still = "still",
    }
}

impl Colour {
    /// The centre of the colour in sRGB.
    pub fn rgb(self) -> [f32; 3] {
        match self {
            Self::Red => [220.0, 40.0, 40.0],
            Self::Orange => [245.0, 140.0, 30.0],
            Self::Yellow => [245.0, 220.0, 50.0],
            Self::Green => [50.0, 170.0, 70.0],
            Self::Cyan => [60.0, 200.0, 220.0],
            Self::Blue => [45.0, 85.0, 220.0],
            Self::Purple => [140.0, 70.0, 190.0],
            Self::Pink => [245.0, 130.0, 180.0],
            Self::White => [245.0, 245.0, 245.0],
        }
    }
}

impl Ground {
    /// The centre of the colour in sRGB.
    pub fn rgb(self) -> [f32; 3] {
        match self {
            Self::Black => [15.0, 15.0, 15.0],
            Self::Gray => [128.0, 128.0, 128.0],
            Self::White => [245.0, 245.0, 245.0],
            Self::Blue => [45.0, 85.0, 220.0],
            Self::Navy => [20.0, 30.0, 80.0],
            Self::Teal => [20.0, 110.0, 110.0],
            Self::Brown => [110.0, 70.0, 40.0],
            Self::Olive => [110.0, 115.0, 40.0],
            Self::Maroon => [100.0, 25.0, 40.0],
        }
    }
}

impl Motion {
    /// The words of a prompt.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Left => "moving left",
            Self::Right => "moving right",
            Self::Up => "moving up",
            Self::Down => "moving down",
            Self::Still => "standing still",
            other => other.word(),
        }
    }
}

/// What a clip with one object shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Attributes {
    /// The object's colour.
    pub colour: Colour,
    /// What it looks like.
    pub shape: Shape,
    /// What it does.
    pub motion: Motion,
    /// What it stands before.
    pub ground: Ground,
}

/// An object nearer to its background than this is hard to tell from it, and the pair does not occur.
const APART: f32 = 125.0;

/// Of a hundred combinations, how many training never sees.
const HELD_OUT_PERCENT: u32 = 18;

impl Attributes {
    /// Every combination whose colours stand apart.
    pub fn all() -> impl Iterator<Item = Self> {
        Colour::ALL.iter().flat_map(|&colour| {
            Shape::ALL.iter().flat_map(move |&shape| {
                Motion::ALL.iter().flat_map(move |&motion| {
                    let all = Ground::ALL.iter().map(move |&ground| Self { colour, shape, motion, ground });
                    all.filter(|one| distance(one.colour.rgb(), one.ground.rgb()) >= APART)
                })
            })
        })
    }

    /// Whether training never saw this combination: the hundreds of FNV-1a (32 bits, folded) of its words.
    pub fn held_out(&self) -> bool {
        let Self { colour, shape, motion, ground } = self;
        let words = format!("{} {} {} {}", colour.word(), shape.word(), motion.word(), ground.word());
        let hash =
            words.bytes().fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
        (hash ^ hash >> 16) % 100 < HELD_OUT_PERCENT
    }

    /// A prompt for it; `variant` chooses among a few orders of the words.
    pub fn prompt(&self, variant: usize) -> String {
        let (colour, shape, ground) = (self.colour.word(), self.shape.word(), self.ground.word());
        let motion = self.motion.phrase();
        let article = if colour.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        let on = if ground.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
        match variant % 3 {
            0 => format!("{article} {colour} {shape} {motion} on {on} {ground} background"),
            1 => format!("on {on} {ground} background, {article} {colour} {shape} {motion}"),
            _ => format!("{article} {colour} {shape} {motion} over {on} {ground} backdrop"),
        }
    }

    /// So many held-out combinations, the same for the same seed, every value of every attribute about as often.
    pub fn sample(count: usize, seed: u64) -> Vec<Self> {
        let mut kept: Vec<Self> = Self::all().filter(Self::held_out).collect();
        // SplitMix64 and Fisher-Yates: no more randomness is needed than that nobody picked.
        let mut state = seed;
        let mut random = |below: usize| {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut x = state;
            x = (x ^ x >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            x = (x ^ x >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            ((x ^ x >> 31) % below as u64) as usize
        };
        for i in (1..kept.len()).rev() {
            kept.swap(i, random(i + 1));
        }
        kept.into_iter().cycle().take(count).collect()
    }
}

/// Distance of two colours in sRGB.
pub(crate) fn distance(a: [f32; 3], b: [f32; 3]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_combinations_are_those_of_training() {
        let all: Vec<Attributes> = Attributes::all().collect();
        let kept = all.iter().filter(|one| one.held_out()).count();
        // tools/train/words.py counts the same.
        assert_eq!((all.len(), kept), (3105, 550));
        assert!(kept as f64 >= 0.15 * all.len() as f64);
    }

    #[test]
    fn a_sample_is_held_out_and_repeats_itself() {
        let sample = Attributes::sample(200, 0);
        assert!(sample.iter().all(Attributes::held_out));
        assert_eq!(sample, Attributes::sample(200, 0));
        assert_ne!(sample, Attributes::sample(200, 1));
        for motion in Motion::ALL {
            assert!(sample.iter().filter(|one| one.motion == *motion).count() > 8, "{motion:?}");
        }
    }

    #[test]
    fn prompts_read_as_people_write() {
        let one =
            Attributes { colour: Colour::Orange, shape: Shape::Ring, motion: Motion::Still, ground: Ground::Olive };
        assert_eq!(one.prompt(0), "an orange ring standing still on an olive background");
        assert_eq!(one.prompt(1), "on an olive background, an orange ring standing still");
    }
}
