//! The bundled checkpoint, looked at: held-out prompts, fixed seeds, the frames alone.

use zoetrope_evaluate::score::NAMES;
use zoetrope_evaluate::{Attributes, Maker, Tally, see};

/// Of 24 clips, how many at least have the colour, the background, the shape, the motion: what the checkpoint reached when
/// it was committed, but for a clip or two that another processor's rounding may turn.
const RIGHT: [usize; 4] = [22, 23, 22, 22];

#[test]
fn held_out_prompts_come_out_right_and_shuffled_ones_do_not() {
    let maker = Maker::open(None).expect("the bundled checkpoint");
    let asked = Attributes::sample(24, 0);
    let mut tally = Tally::default();
    for (index, asked) in asked.iter().enumerate() {
        let frames = maker.clip(&asked.prompt(index), index as u64).expect("a clip");
        tally.add(*asked, see(&frames));
    }
    let (shares, _) = tally.right();
    let tables = tally.tables();
    for ((share, least), name) in shares.iter().zip(RIGHT).zip(NAMES) {
        assert!(*share * 24.0 > least as f64 - 0.5, "{name}: {share}\n{tables}");
    }
    // The measure measures: judged by the prompts of other clips, they are right no more often than guessing.
    let shuffled = tally.shifted(asked.len() / 2);
    let (shares, _) = shuffled.right();
    let chance = shuffled.chance();
    assert!(shares.iter().zip(chance).all(|(share, chance)| *share <= chance + 0.15), "{shares:?} {chance:?}");
}
