//! A slowdown is found, and a rerun is none.

mod common;

use common::results;
use kernel_bench::compare::{Verdict, compare};
use speeds::results::Results;

const THRESHOLD: f64 = 0.05;

#[test]
fn a_planted_slowdown_of_a_tenth_is_found_and_comes_first() {
    let before = results(1, None);
    for (seed, row) in [(2, 0), (3, 7), (4, 20), (5, 45)] {
        let after = results(seed, Some((row, 1.1)));
        let comparison = compare(&before, &after, THRESHOLD).unwrap();
        assert!(comparison.regressed());
        let slower: Vec<_> = comparison.pairs.iter().filter(|pair| pair.verdict == Verdict::Slower).collect();
        let [pair] = slower[..] else { panic!("{slower:?}") };
        assert!((1.08..1.12).contains(&pair.ratio), "{pair:?}");
        assert_eq!(comparison.pairs[0].what, pair.what);
        assert!(pair.what.starts_with(&before.devices[0].rows[row].case.to_string()));
        let text = comparison.text();
        assert!(text.lines().nth(1).unwrap().contains("slower"), "{text}");
        assert!(text.contains("1 slower, 0 faster; 1 without a partner"), "{text}");
    }
}

#[test]
fn ten_reruns_raise_no_alarm() {
    let before = results(100, None);
    for seed in 101..111 {
        let comparison = compare(&before, &results(seed, None), THRESHOLD).unwrap();
        assert!(comparison.pairs.iter().all(|pair| pair.verdict == Verdict::Same), "{}", comparison.text());
        assert!((comparison.mean() - 1.0).abs() < 0.01);
    }
    let faster = compare(&before, &results(111, Some((3, 0.5))), THRESHOLD).unwrap();
    assert!(!faster.regressed());
    assert_eq!(faster.pairs.last().unwrap().verdict, Verdict::Faster);
}

/// What visits of one run differ by is no change between runs.
#[test]
fn an_unsteady_machine_raises_no_alarm() {
    let before = results(1, None);
    let mut after = results(2, Some((7, 1.1)));
    let cold = &mut after.devices[0].rows[7].measured.as_mut().unwrap().cold;
    let least = cold.visits.iter().copied().fold(f64::INFINITY, f64::min);
    cold.visits = vec![least, 1.08 * least, 1.3 * least];
    assert!(!compare(&before, &after, THRESHOLD).unwrap().regressed());
}

#[test]
fn a_result_that_became_wrong_is_worse_than_any_slowdown() {
    let before = results(1, None);
    let mut after = results(2, Some((0, 2.0)));
    after.devices[0].rows[9].measured.as_mut().unwrap().error.wrong = true;
    let comparison = compare(&before, &after, THRESHOLD).unwrap();
    assert_eq!([0, 1].map(|i| comparison.pairs[i].verdict), [Verdict::Wrong, Verdict::Slower]);
}

#[test]
fn only_equal_rows_are_joined() {
    let before = results(1, None);
    let change = |change: &dyn Fn(&mut Results)| {
        let mut after = results(2, None);
        change(&mut after);
        compare(&before, &after, THRESHOLD)
    };
    let error = change(&|after| after.suite_version += 1).unwrap_err().to_string();
    assert!(error.contains("quick 1 and quick 2 are different shapes"), "{error}");
    let error = change(&|after| after.devices[0].rows.clear()).unwrap_err().to_string();
    assert!(error.contains("no row"), "{error}");
    let all = before.devices[0].rows.len() - 1;
    let fewer = change(&|after| after.devices[0].rows[0].types.weights = None).unwrap();
    assert_eq!((fewer.pairs.len(), fewer.alone), (all - 1, 2));
    // Alone in both files, devices of other names are compared.
    assert_eq!(change(&|after| after.devices[0].device.name = "another".into()).unwrap().pairs.len(), all);
}
