use std::sync::atomic::AtomicBool;

use super::*;
use crate::Level;
use crate::testing::{distance, exec, numbers, same_bits_on_any_number_of_threads};

fn reference(s: &Attention, q: &[f32], k: &[f32], v: &[f32], bias: AttentionBias) -> Vec<f64> {
    let mut out = vec![0.0; s.queries * s.heads * s.head_dim];
    for (h, i) in (0..s.heads).flat_map(|h| (0..s.queries).map(move |i| (h, i))) {
        let scores: Vec<f64> = (0..s.keys)
            .map(|j| {
                let dot: f64 = (0..s.head_dim)
                    .map(|d| {
                        let at = h * s.head_dim + d;
                        f64::from(q[i * s.q_stride + at]) * f64::from(k[j * s.kv_stride + at])
                    })
                    .sum();
                dot * f64::from(s.scale)
                    + match bias {
                        AttentionBias::None => 0.0,
                        AttentionBias::PerKey(b) => f64::from(b[j]),
                        AttentionBias::PerHead(b) => f64::from(b[(h * s.queries + i) * s.keys + j]),
                    }
            })
            .collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = scores.iter().map(|x| (x - most).exp()).collect();
        let sum: f64 = weights.iter().sum();
        for d in 0..s.head_dim {
            let at = h * s.head_dim + d;
            let value: f64 = weights.iter().enumerate().map(|(j, w)| w * f64::from(v[j * s.kv_stride + at])).sum();
            out[i * s.heads * s.head_dim + at] = value / sum;
        }
    }
    out
}

/// Rows apart by more than their length, and a scale that makes scores differ.
fn shape(heads: usize, head_dim: usize, queries: usize, keys: usize) -> Attention {
    let width = heads * head_dim;
    Attention {
        heads,
        head_dim,
        queries,
        keys,
        q_stride: width + 3,
        kv_stride: width + 5,
        out_stride: width + 1,
        scale: 3.0 / (head_dim as f32).sqrt(),
    }
}

fn check(level: Level, s: &Attention, spread: f32, bias: AttentionBias, limit: f64) {
    let q: Vec<f32> = numbers(1, s.queries * s.q_stride).iter().map(|x| x * spread).collect();
    let (mut k, mut v) = (numbers(2, (s.keys + 2) * s.kv_stride), numbers(3, (s.keys + 2) * s.kv_stride));
    // Nothing between or past the rows may count.
    for x in [&mut k, &mut v] {
        for (row, x) in x.chunks_mut(s.kv_stride).enumerate() {
            x[if row < s.keys { s.heads * s.head_dim } else { 0 }..].fill(f32::NAN);
        }
    }
    let mut out = vec![7.0; s.queries * s.out_stride];
    attention(exec(level), s, &q, &k, &v, bias, &mut out);
    let mut tight = Vec::new();
    for row in out.chunks(s.out_stride) {
        assert_eq!(row[s.out_stride - 1], 7.0, "{level} {s:?}: written between rows");
        tight.extend_from_slice(&row[..s.out_stride - 1]);
    }
    let off = distance(&tight, &reference(s, &q, &k, &v, bias));
    assert!(off <= limit, "{level} {s:?}: {off}");
}

#[test]
fn attention_is_the_f64_loop() {
    let shapes = [
        (1, 1, 1, 1),
        (2, 24, 17, 50),
        (3, 44, 33, 7),
        (1, 128, 20, 200),
        (2, 128, 1, 5),
        (1, 384, 140, 61),
        (2, 10, 300, 193),
        (1, 7, 16, 400),
    ];
    for &level in Level::available() {
        for (heads, head_dim, queries, keys) in shapes {
            let s = shape(heads, head_dim, queries, keys);
            check(level, &s, 1.0, AttentionBias::None, 1e-6);
            let mut per_key = numbers(4, keys);
            check(level, &s, 1.0, AttentionBias::PerKey(&per_key), 1e-6);
            // Hidden keys, among them whole blocks at the start.
            for (j, b) in per_key.iter_mut().enumerate() {
                if j + 1 < keys && (j % 3 == 0 || j < 260) {
                    *b = f32::NEG_INFINITY;
                }
            }
            check(level, &s, 1.0, AttentionBias::PerKey(&per_key), 1e-6);
            check(level, &s, 1.0, AttentionBias::PerHead(&numbers(5, heads * queries * keys)), 1e-6);
        }
    }
}

#[test]
fn great_scores_do_not_overflow() {
    for &level in Level::available() {
        // A score of a hundred is known to 4e-6, and therefore its exponential as well.
        check(level, &shape(2, 16, 30, 250), 30.0, AttentionBias::None, 4e-6);
        let steps: Vec<f32> = (0..250).map(|j| j as f32 - 125.0).collect();
        check(level, &shape(2, 16, 30, 250), 1.0, AttentionBias::PerKey(&steps), 4e-6);
    }
}

#[test]
fn hidden_keys_count_nothing() {
    for &level in Level::available() {
        let s = Attention { q_stride: 8, kv_stride: 8, out_stride: 8, ..shape(1, 8, 3, 300) };
        let (q, k) = (numbers(1, 24), numbers(2, 2400));
        let mut v = vec![1e30; 2400];
        v[8..16].fill(2.0);
        let mut bias = vec![f32::NEG_INFINITY; 300];
        bias[1] = -50.0;
        let mut out = vec![0.0; 24];
        attention(exec(level), &s, &q, &k, &v, AttentionBias::PerKey(&bias), &mut out);
        assert_eq!(out, vec![2.0; 24], "{level}");
    }
}

#[test]
fn no_keys_give_zeros_and_no_queries_nothing() {
    for &level in Level::available() {
        let mut out = vec![7.0; 12];
        let s = Attention { q_stride: 6, kv_stride: 6, out_stride: 6, ..shape(2, 3, 2, 0) };
        attention(exec(level), &s, &[1.0; 12], &[], &[], AttentionBias::None, &mut out);
        assert_eq!(out, vec![0.0; 12]);
        attention(exec(level), &shape(2, 3, 0, 0), &[], &[], &[], AttentionBias::None, &mut []);
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let s = shape(3, 20, 270, 210);
    let (q, k, v) = (numbers(1, 270 * 63), numbers(2, 210 * 65), numbers(3, 210 * 65));
    for &level in Level::available() {
        same_bits_on_any_number_of_threads(270 * 61, |out| {
            out.fill(0.0);
            attention(exec(level), &s, &q, &k, &v, AttentionBias::None, out);
        });
    }
}

#[test]
fn a_set_flag_stops_the_work() {
    let stop = AtomicBool::new(true);
    let s = shape(1, 8, 20, 10);
    let (q, k) = (numbers(1, 20 * 11), numbers(2, 10 * 13));
    for &level in Level::available() {
        let mut out = vec![7.0; 20 * 9];
        attention(Exec { level, stop: &stop }, &s, &q, &k, &k, AttentionBias::None, &mut out);
        assert_eq!(out, vec![7.0; 20 * 9], "{level}");
    }
}
