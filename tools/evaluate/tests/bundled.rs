//! The bundled checkpoint, looked at: held-out prompts, fixed seeds, the frames alone.

use zoetrope_evaluate::{Attributes, Maker, Tally, see};

#[test]
fn held_out_prompts_come_out_right_and_shuffled_ones_do_not() {
    let maker = Maker::open(None).expect("the bundled checkpoint");
    let asked = Attributes::sample(24, 0);
    let mut tally = Tally::default();
    for (index, asked) in asked.iter().enumerate() {
        let frames = maker.clip(&asked.prompt(index), index as u64).expect("a clip");
        tally.add(*asked, see(&frames));
    }
    let (shares, all) = tally.right();
    let tables = tally.tables();
    assert!(shares.iter().all(|share| *share >= 22.0 / 24.0) && all >= 20.0 / 24.0, "{shares:?} {all}\n{tables}");
    // The measure measures: held against the prompts of other clips, they are right no more often than guessing.
    let shuffled = tally.shifted(asked.len() / 2);
    let (shares, _) = shuffled.right();
    let chance = shuffled.chance();
    assert!(shares.iter().zip(chance).all(|(share, chance)| *share <= chance + 0.15), "{shares:?} {chance:?}");
}
