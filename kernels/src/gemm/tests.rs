use std::sync::atomic::AtomicBool;

use crate::testing::{Kept, activate, distance, exec, numbers, same_bits_on_any_number_of_threads};
use crate::{Activation, Exec, Level, linear, linear_add};

fn reference(x: &[f32], w: &[f32], shape: [usize; 3], bias: Option<&[f32]>, act: Activation) -> Vec<f64> {
    let [rows, k, n] = shape;
    let mut out = Vec::with_capacity(rows * n);
    for row in 0..rows {
        for column in 0..n {
            let sum: f64 = (0..k).map(|p| f64::from(x[row * k + p]) * f64::from(w[column * k + p])).sum();
            out.push(activate(act, sum + bias.map_or(0.0, |b| f64::from(b[column]))));
        }
    }
    out
}

#[test]
fn linear_is_the_f64_loop() {
    let acts = [Activation::None, Activation::Silu, Activation::GeluTanh];
    let shapes = [
        [1, 1, 1],
        [1, 77, 35],
        [3, 64, 65],
        [4, 300, 130],
        [5, 7, 3],
        [6, 8, 16],
        [7, 259, 17],
        [16, 96, 100],
        [77, 520, 50],
        [200, 33, 31],
        [600, 70, 3],
        [8, 530, 1],
        [9, 0, 4],
        [13, 0, 20],
        [2, 0, 5],
    ];
    for &level in Level::available() {
        for (i, shape) in shapes.into_iter().enumerate() {
            let [rows, k, n] = shape;
            let (x, bias) = (numbers(i as u64 + 1, rows * k), numbers(99, n));
            for (j, w) in Kept::each(i as u64 + 50, n * k).iter().enumerate() {
                let (act, bias) = (acts[(i + j) % 3], (j != 1).then_some(&bias[..]));
                let mut out = vec![f32::NAN; rows * n];
                linear(exec(level), &x, w.stored(), rows, k, n, bias, act, &mut out);
                let off = distance(&out, &reference(&x, &w.widened(), shape, bias, act));
                assert!(off <= 4e-7, "{level} {shape:?} {:?} {act:?}: {off}", w.stored().len());
            }
        }
    }
}

#[test]
fn linear_add_is_the_f64_loop() {
    let shapes = [[1, 77, 35], [4, 300, 130], [7, 530, 17], [77, 520, 50], [400, 33, 31], [600, 70, 3], [13, 0, 20]];
    for &level in Level::available() {
        for (i, shape) in shapes.into_iter().enumerate() {
            let [rows, k, n] = shape;
            let (x, bias, gate) = (numbers(i as u64 + 1, rows * k), numbers(99, n), numbers(98, n));
            let before = numbers(97, rows * n);
            for (j, w) in Kept::each(i as u64 + 50, n * k).iter().enumerate() {
                let (gate, bias) = ((j != 0).then_some(&gate[..]), (j != 1).then_some(&bias[..]));
                let mut out = before.clone();
                linear_add(exec(level), &x, w.stored(), rows, k, n, bias, gate, &mut out);
                let mut want = reference(&x, &w.widened(), shape, bias, Activation::None);
                for (i, (want, &before)) in want.iter_mut().zip(&before).enumerate() {
                    *want = *want * gate.map_or(1.0, |g| f64::from(g[i % n])) + f64::from(before);
                }
                let off = distance(&out, &want);
                assert!(off <= 4e-7, "{level} {shape:?} {j}: {off}");
            }
        }
    }
}

#[test]
fn nothing_gives_nothing() {
    for &level in Level::available() {
        linear(exec(level), &[], (&[1.0; 12][..]).into(), 0, 4, 3, None, Activation::None, &mut []);
        linear(exec(level), &[1.0; 8], (&[][..]).into(), 2, 4, 0, None, Activation::None, &mut []);
        linear(exec(level), &[1.0; 40], (&[][..]).into(), 10, 4, 0, None, Activation::None, &mut []);
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    for &level in Level::available() {
        for (rows, k, n) in [(2, 600, 200), (61, 301, 150), (400, 40, 170), (1030, 20, 3)] {
            let (x, w, bias) = (numbers(1, rows * k), numbers(2, n * k), numbers(3, n));
            same_bits_on_any_number_of_threads(rows * n, |out| {
                linear(exec(level), &x, (&w[..]).into(), rows, k, n, Some(&bias), Activation::GeluTanh, out);
            });
            same_bits_on_any_number_of_threads(rows * n, |out| {
                out.fill(1.0);
                linear_add(exec(level), &x, (&w[..]).into(), rows, k, n, Some(&bias), Some(&bias), out);
            });
        }
    }
}

#[test]
fn infinities_stay_in_their_rows_and_columns() {
    for &level in Level::available() {
        let (rows, k, n) = (9, 19, 18);
        let (mut x, mut w) = (numbers(1, rows * k), numbers(2, n * k));
        x[4 * k + 3] = f32::INFINITY;
        w[17 * k + 18] = f32::NAN;
        let mut out = vec![0.0; rows * n];
        linear(exec(level), &x, (&w[..]).into(), rows, k, n, None, Activation::None, &mut out);
        for (i, x) in out.iter().enumerate() {
            assert_eq!(x.is_finite(), i / n != 4 && i % n != 17, "{level}: number {i}");
        }
    }
}

#[test]
fn a_set_flag_stops_the_work() {
    let stop = AtomicBool::new(true);
    let (x, w) = (numbers(1, 50 * 30), numbers(2, 40 * 30));
    for &level in Level::available() {
        for (rows, n) in [(2, 40), (50, 40), (50, 3)] {
            let mut out = vec![7.0; rows * n];
            let exec = Exec { level, stop: &stop };
            linear(exec, &x[..rows * 30], (&w[..n * 30]).into(), rows, 30, n, None, Activation::None, &mut out);
            assert!(out.iter().all(|&x| x == 7.0), "{level}: {rows} x {n} were worked out");
        }
    }
}
