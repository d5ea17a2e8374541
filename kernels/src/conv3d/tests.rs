use crate::testing::{Kept, distance, exec, numbers, same_bits_on_any_number_of_threads};
use crate::{Conv3d, Exec, Level, Onto, conv3d, conv3d_winograd};

fn reference(s: &Conv3d, x: &[f32], tail: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    let [frames, height, width] = s.output();
    let [kt, kh, kw] = s.kernel;
    let mut out = Vec::new();
    let input = |t: usize, y: usize, x_: usize, c: usize| -> f64 {
        let [top, _, left, _] = s.pad;
        if t < s.pad_front || y < top || y >= top + s.height || x_ < left || x_ >= left + s.width {
            return 0.0;
        }
        let (t, y, x_) = (t - s.pad_front, y - top, x_ - left);
        let at = |t: usize| ((t * s.height + y) * s.width + x_) * s.in_channels + c;
        f64::from(if t < s.tail_frames { tail[at(t)] } else { x[at(t - s.tail_frames)] })
    };
    for t in 0..frames {
        for y in 0..height {
            for x_ in 0..width {
                for n in 0..s.out_channels {
                    let mut sum = bias.map_or(0.0, |b| f64::from(b[n]));
                    for c in 0..s.in_channels {
                        for (a, b, d) in (0..kt * kh * kw).map(|i| (i / (kh * kw), i / kw % kh, i % kw)) {
                            let weight = w[(((n * s.in_channels + c) * kt + a) * kh + b) * kw + d];
                            let [st, sh, sw] = s.stride;
                            sum += f64::from(weight) * input(t * st + a, y * sh + b, x_ * sw + d, c);
                        }
                    }
                    out.push(sum);
                }
            }
        }
    }
    out
}

fn shape(frames: usize, size: [usize; 2], channels: [usize; 2], kernel: [usize; 3]) -> Conv3d {
    let [height, width] = size;
    let [in_channels, out_channels] = channels;
    let [kt, kh, kw] = kernel;
    Conv3d {
        frames,
        height,
        width,
        in_channels,
        out_channels,
        kernel,
        stride: [1; 3],
        tail_frames: 0,
        pad_front: kt - 1,
        pad: [kh / 2, kh / 2, kw / 2, kw / 2],
    }
}

fn shapes() -> Vec<Conv3d> {
    let base = shape(3, [7, 5], [13, 19], [3, 3, 3]);
    vec![
        base,
        Conv3d { tail_frames: 2, pad_front: 0, ..base },
        Conv3d { tail_frames: 1, pad_front: 1, ..base },
        Conv3d { frames: 1, ..base },
        // The decoder's doubling in time, and the encoder's halving in time and in space.
        Conv3d { tail_frames: 2, pad_front: 0, ..shape(2, [4, 3], [40, 33], [3, 1, 1]) },
        Conv3d { stride: [2, 1, 1], tail_frames: 1, pad_front: 0, ..shape(4, [3, 4], [8, 16], [3, 1, 1]) },
        Conv3d { stride: [1, 2, 2], pad: [0, 1, 0, 1], ..shape(2, [8, 7], [24, 10], [1, 3, 3]) },
        // Two dimensions, a patch embedding, a kernel of one tap, many channels, few of them.
        shape(2, [9, 6], [70, 20], [1, 3, 3]),
        Conv3d { stride: [1, 2, 2], pad: [0; 4], ..shape(2, [4, 6], [16, 33], [1, 2, 2]) },
        shape(1, [5, 5], [20, 9], [1, 1, 1]),
        shape(2, [4, 3], [300, 17], [3, 3, 3]),
        shape(1, [6, 40], [3, 7], [3, 3, 3]),
        // To few channels, which is another way.
        shape(2, [20, 30], [30, 3], [3, 3, 3]),
        shape(1, [4, 5], [300, 4], [3, 3, 3]),
        Conv3d { tail_frames: 1, pad_front: 1, ..shape(1, [3, 5], [8, 1], [3, 3, 3]) },
        // A kernel that sees nothing but zeros for the first frames, and one larger than the input.
        Conv3d { pad_front: 5, ..shape(2, [3, 3], [9, 5], [2, 3, 3]) },
        Conv3d { pad_front: 2, ..shape(1, [14, 14], [9, 5], [1, 1, 1]) },
        Conv3d { pad: [0; 4], ..shape(2, [2, 5], [4, 4], [1, 3, 3]) },
        shape(2, [3, 4], [0, 5], [1, 3, 3]),
    ]
}

/// What a convolution begins with: numbers to add to, or none that may show.
fn onto(add: bool, before: &[f32]) -> (Onto, Vec<f32>) {
    if add { (Onto::Output, before.to_vec()) } else { (Onto::Nothing, vec![f32::NAN; before.len()]) }
}

fn sum(mut want: Vec<f64>, onto: Onto, before: &[f32]) -> Vec<f64> {
    if onto == Onto::Output {
        want.iter_mut().zip(before).for_each(|(want, &before)| *want += f64::from(before));
    }
    want
}

#[test]
fn conv3d_is_the_f64_loop() {
    for &level in Level::available() {
        for (i, s) in shapes().iter().enumerate() {
            let frame = s.height * s.width * s.in_channels;
            let (x, tail) = (numbers(i as u64, s.frames * frame), numbers(77, s.tail_frames * frame));
            let bias = numbers(5, s.out_channels);
            let before = numbers(6, s.output().iter().product::<usize>() * s.out_channels);
            for (j, w) in Kept::each(9, s.out_channels * s.in_channels * s.taps()).iter().enumerate() {
                let bias = (j != 2).then_some(&bias[..]);
                let (onto, mut out) = onto(j == 1, &before);
                conv3d(exec(level), s, &x, &tail, w.stored(), bias, onto, &mut out);
                let off = distance(&out, &sum(reference(s, &x, &tail, &w.widened(), bias), onto, &before));
                assert!(off <= 6e-7, "{level} {s:?}: {off}");
            }
        }
    }
}

#[test]
fn winograd_is_the_f64_loop() {
    let more = [
        shape(1, [4, 4], [16, 32], [3, 3, 3]),
        shape(5, [9, 13], [18, 35], [3, 3, 3]),
        Conv3d { pad: [0, 3, 1, 0], ..shape(2, [6, 38], [32, 34], [2, 3, 3]) },
        Conv3d { tail_frames: 2, pad_front: 0, ..shape(6, [9, 9], [17, 40], [3, 3, 3]) },
        // More columns than are transformed at a time.
        Conv3d { tail_frames: 1, pad_front: 1, ..shape(1, [2, 3], [400, 110], [3, 3, 3]) },
    ];
    let mut looked_at = 0;
    for s in shapes().iter().chain(&more).filter(|s| s.has_winograd()) {
        let frame = s.height * s.width * s.in_channels;
        let (x, tail) = (numbers(1, s.frames * frame), numbers(2, s.tail_frames * frame));
        let bias = numbers(3, s.out_channels);
        let before = numbers(6, s.output().iter().product::<usize>() * s.out_channels);
        for (j, w) in Kept::each(4, s.out_channels * s.in_channels * s.taps()).iter().enumerate() {
            let bias = (j != 2).then_some(&bias[..]);
            let want = sum(reference(s, &x, &tail, &w.widened(), bias), onto(j != 1, &before).0, &before);
            for &level in Level::available() {
                let (onto, mut out) = onto(j != 1, &before);
                conv3d_winograd(exec(level), s, &x, &tail, w.stored(), bias, onto, &mut out);
                let off = distance(&out, &want);
                // Of 400 channels; 1.5e-6 of 96.
                assert!(off <= 4e-6, "{level} {s:?}: {off}");
                looked_at += 1;
            }
        }
    }
    assert!(looked_at >= 3 * 12);
}

#[test]
fn winograd_is_for_some_shapes() {
    let prefers = |size, channels| shape(3, size, channels, [3, 3, 3]).prefers_winograd();
    let base = shape(3, [8, 8], [32, 32], [3, 3, 3]);
    assert!(base.has_winograd() && base.prefers_winograd());
    assert!(prefers([8, 8], [16, 3]) && prefers([8, 8], [4, 16]));
    assert!(!prefers([7, 8], [32, 32]) && !prefers([8, 8], [96, 3]) && !prefers([8, 8], [3, 16]));
    for s in [Conv3d { stride: [1, 2, 2], ..base }, Conv3d { kernel: [3, 1, 1], ..base }] {
        assert!(!s.has_winograd() && !s.prefers_winograd());
    }
}

#[test]
fn a_set_flag_stops_winograd() {
    let stop = std::sync::atomic::AtomicBool::new(true);
    let s = shape(2, [17, 9], [20, 50], [3, 3, 3]);
    let (x, w) = (numbers(1, 2 * 17 * 9 * 20), numbers(2, 50 * 20 * 27));
    for &level in Level::available() {
        let mut out = vec![7.0; 2 * 17 * 9 * 50];
        conv3d_winograd(Exec { level, stop: &stop }, &s, &x, &[], (&w[..]).into(), None, Onto::Nothing, &mut out);
        assert!(out.iter().all(|&x| x == 7.0), "{level}");
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    let s = shape(2, [17, 9], [20, 50], [3, 3, 3]);
    let (x, w) = (numbers(1, 2 * 17 * 9 * 20), numbers(2, 50 * 20 * 27));
    for &level in Level::available() {
        same_bits_on_any_number_of_threads(2 * 17 * 9 * 50, |out| {
            conv3d(exec(level), &s, &x, &[], (&w[..]).into(), None, Onto::Nothing, out);
        });
        same_bits_on_any_number_of_threads(2 * 17 * 9 * 50, |out| {
            conv3d_winograd(exec(level), &s, &x, &[], (&w[..]).into(), None, Onto::Nothing, out);
        });
    }
}

#[test]
fn frames_one_at_a_time_are_frames_at_once() {
    let s = shape(4, [5, 6], [11, 18], [3, 3, 3]);
    let frame = 5 * 6 * 11;
    let (x, w) = (numbers(1, 4 * frame), numbers(2, 18 * 11 * 27));
    for &level in Level::available() {
        let mut want = vec![0.0; 4 * 5 * 6 * 18];
        conv3d(exec(level), &s, &x, &[], (&w[..]).into(), None, Onto::Nothing, &mut want);
        for (t, want) in want.chunks(5 * 6 * 18).enumerate() {
            let one = Conv3d { frames: 1, tail_frames: t.min(2), pad_front: 2 - t.min(2), ..s };
            let mut out = vec![0.0; 5 * 6 * 18];
            let tail = &x[(t - t.min(2)) * frame..t * frame];
            conv3d(exec(level), &one, &x[t * frame..][..frame], tail, (&w[..]).into(), None, Onto::Nothing, &mut out);
            let want: Vec<f64> = want.iter().map(|&x| f64::from(x)).collect();
            assert!(distance(&out, &want) <= 6e-7, "{level}: frame {t}");
        }
    }
}
