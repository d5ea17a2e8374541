//! The oracle: every op of the engine as a plain loop in f64, written to be read and not to be fast.
//!
//! All layouts are row-major. Channels are last unless a name says otherwise.

/// What a linear layer does to its result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Act {
    /// Nothing.
    None,
    /// x * sigmoid(x).
    Silu,
    /// 0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))), PyTorch's `gelu(approximate="tanh")`.
    GeluTanh,
}

/// `act` of one number.
pub fn activate_one(x: f64, act: Act) -> f64 {
    match act {
        Act::None => x,
        Act::Silu => silu_one(x),
        Act::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
    }
}

fn silu_one(x: f64) -> f64 {
    x / (1.0 + (-x).exp())
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&v| f64::from(v)).collect()
}

/// act(x w^T + bias): x `[rows, k]`, w `[n, k]`, bias `[n]`, result `[rows, n]`.
pub fn linear(x: &[f32], w: &[f32], rows: usize, k: usize, n: usize, bias: Option<&[f32]>, act: Act) -> Vec<f64> {
    assert_eq!((x.len(), w.len()), (rows * k, n * k));
    let mut out = Vec::with_capacity(rows * n);
    for r in 0..rows {
        for j in 0..n {
            let dot: f64 = (0..k).map(|i| f64::from(x[r * k + i]) * f64::from(w[j * k + i])).sum();
            out.push(activate_one(dot + bias.map_or(0.0, |b| f64::from(b[j])), act));
        }
    }
    out
}

/// The sizes of [`attention`]; strides are the distance between two rows, in elements.
#[derive(Clone, Copy, Debug)]
pub struct AttentionSizes {
    /// Heads side by side in a row.
    pub heads: usize,
    /// Elements of one head.
    pub head_dim: usize,
    /// Rows of q and of the result.
    pub queries: usize,
    /// Rows of k and v that count; more may be stored.
    pub keys: usize,
    /// From one row of q to the next.
    pub q_stride: usize,
    /// From one row of k or v to the next.
    pub kv_stride: usize,
    /// Factor of q k^T before the bias is added.
    pub scale: f64,
}

/// What is added to the scaled products before the softmax.
#[derive(Clone, Copy, Debug)]
pub enum ScoreBias<'a> {
    /// Nothing.
    None,
    /// `[keys]`, the same for every head and query; minus infinity hides a key.
    PerKey(&'a [f32]),
    /// `[heads, queries, keys]`.
    PerHead(&'a [f32]),
}

/// softmax(scale q k^T + bias) v for each head; the result is dense, `[queries, heads * head_dim]`.
pub fn attention(s: AttentionSizes, q: &[f32], k: &[f32], v: &[f32], bias: ScoreBias) -> Vec<f64> {
    let mut out = vec![0.0; s.queries * s.heads * s.head_dim];
    for h in 0..s.heads {
        for i in 0..s.queries {
            let at = |x: &[f32], row: usize, stride: usize, d: usize| f64::from(x[row * stride + h * s.head_dim + d]);
            let score = |j: usize| {
                let dot: f64 = (0..s.head_dim).map(|d| at(q, i, s.q_stride, d) * at(k, j, s.kv_stride, d)).sum();
                let added = match bias {
                    ScoreBias::None => 0.0,
                    ScoreBias::PerKey(b) => f64::from(b[j]),
                    ScoreBias::PerHead(b) => f64::from(b[(h * s.queries + i) * s.keys + j]),
                };
                s.scale * dot + added
            };
            let scores: Vec<f64> = (0..s.keys).map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for d in 0..s.head_dim {
                let sum: f64 = weights.iter().enumerate().map(|(j, weight)| weight * at(v, j, s.kv_stride, d)).sum();
                out[(i * s.heads + h) * s.head_dim + d] = sum / total;
            }
        }
    }
    out
}

/// The sizes of [`conv3d`].
#[derive(Clone, Copy, Debug)]
pub struct Conv3dSizes {
    /// Frames of x.
    pub frames: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// Channels of x and of the tail.
    pub in_channels: usize,
    /// Channels of the result.
    pub out_channels: usize,
    /// Taps in time, height and width.
    pub kernel: [usize; 3],
    /// Steps in time, height and width.
    pub stride: [usize; 3],
    /// Frames that come before x.
    pub tail_frames: usize,
    /// Frames of zeros that come before the tail.
    pub pad_front: usize,
    /// Zeros at the top, bottom, left and right.
    pub pad: [usize; 4],
}

impl Conv3dSizes {
    /// `[T, H, W]` of the result.
    pub fn out(&self) -> [usize; 3] {
        let [top, bottom, left, right] = self.pad;
        let padded =
            [self.pad_front + self.tail_frames + self.frames, top + self.height + bottom, left + self.width + right];
        [0, 1, 2].map(|i| (padded[i] + self.stride[i]).saturating_sub(self.kernel[i]) / self.stride[i])
    }
}

/// Cross-correlation of `[zeros, tail, x]` `[T, H, W, C]` with w `[out, in, kt, kh, kw]`, plus bias `[out]`.
pub fn conv3d(s: &Conv3dSizes, x: &[f32], tail: &[f32], w: &[f32], bias: Option<&[f32]>) -> Vec<f64> {
    let (ci, [kt, kh, kw]) = (s.in_channels, s.kernel);
    let frame = s.height * s.width * ci;
    assert_eq!((x.len(), tail.len()), (s.frames * frame, s.tail_frames * frame));
    assert_eq!(w.len(), s.out_channels * ci * kt * kh * kw);
    // One pixel's channels, `None` in the padding; the arguments count from the padding's first frame, row and column.
    let pixel = |t: usize, y: usize, x_: usize| {
        let t = t.checked_sub(s.pad_front)?;
        let y = y.checked_sub(s.pad[0]).filter(|&y| y < s.height)?;
        let x_ = x_.checked_sub(s.pad[2]).filter(|&x| x < s.width)?;
        let (source, t) = if t < s.tail_frames { (tail, t) } else { (x, t - s.tail_frames) };
        let at = ((t * s.height + y) * s.width + x_) * ci;
        Some(&source[at..at + ci])
    };
    let [frames, height, width] = s.out();
    let mut out = Vec::with_capacity(frames * height * width * s.out_channels);
    for (t, y, x_) in grid(frames, height, width) {
        let mut sums: Vec<f64> = (0..s.out_channels).map(|o| bias.map_or(0.0, |b| f64::from(b[o]))).collect();
        for (dt, dy, dx) in grid(kt, kh, kw) {
            let Some(channels) = pixel(t * s.stride[0] + dt, y * s.stride[1] + dy, x_ * s.stride[2] + dx) else {
                continue;
            };
            for (o, sum) in sums.iter_mut().enumerate() {
                for (c, &value) in channels.iter().enumerate() {
                    *sum += f64::from(value) * f64::from(w[(((o * ci + c) * kt + dt) * kh + dy) * kw + dx]);
                }
            }
        }
        out.extend(sums);
    }
    out
}

/// All (a, b, c) below the three ends, the last running fastest.
fn grid(a: usize, b: usize, c: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
}

/// Each row of `width` mapped to a row of the same width.
fn by_row(x: &[f32], width: usize, mut row: impl FnMut(&[f64]) -> Vec<f64>) -> Vec<f64> {
    assert_eq!(x.len() % width, 0);
    x.chunks(width).flat_map(|r| row(&wide(r))).collect()
}

/// x / sqrt(mean(x^2) + eps) * weight over rows of `weight.len()`.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f64) -> Vec<f64> {
    by_row(x, weight.len(), |row| {
        let mean = row.iter().map(|v| v * v).sum::<f64>() / row.len() as f64;
        row.iter().zip(weight).map(|(v, &w)| v / (mean + eps).sqrt() * f64::from(w)).collect()
    })
}

/// (x - mean) / sqrt(variance + eps) over rows of `width`, biased variance; `affine` is weight and bias.
pub fn layer_norm(x: &[f32], width: usize, affine: Option<(&[f32], &[f32])>, eps: f64) -> Vec<f64> {
    by_row(x, width, |row| {
        let mean = row.iter().sum::<f64>() / width as f64;
        let variance = row.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
        let normed = row.iter().map(|v| (v - mean) / (variance + eps).sqrt());
        match affine {
            Some((w, b)) => normed.zip(w.iter().zip(b)).map(|(v, (&w, &b))| v * f64::from(w) + f64::from(b)).collect(),
            None => normed.collect(),
        }
    })
}

/// x / max(|x|_2, 1e-12) * sqrt(C) * gamma over rows of `gamma.len()` = C.
pub fn channel_norm(x: &[f32], gamma: &[f32]) -> Vec<f64> {
    by_row(x, gamma.len(), |row| {
        let length = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
        let scale = (row.len() as f64).sqrt() / length;
        row.iter().zip(gamma).map(|(v, &g)| v * scale * f64::from(g)).collect()
    })
}

/// x * (1 + scale) + shift over rows of `scale.len()`.
pub fn modulate(x: &[f32], scale: &[f32], shift: &[f32]) -> Vec<f64> {
    by_row(x, scale.len(), |row| {
        row.iter().zip(scale.iter().zip(shift)).map(|(v, (&a, &b))| v * (1.0 + f64::from(a)) + f64::from(b)).collect()
    })
}

/// x * scale + shift over rows of `scale.len()`.
pub fn affine(x: &[f32], scale: &[f32], shift: &[f32]) -> Vec<f64> {
    by_row(x, scale.len(), |row| {
        row.iter().zip(scale.iter().zip(shift)).map(|(v, (&a, &b))| v * f64::from(a) + f64::from(b)).collect()
    })
}

/// x + y * gate, gate `[width]` over rows.
pub fn gated_add(x: &[f32], y: &[f32], gate: &[f32]) -> Vec<f64> {
    let pairs = wide(x).into_iter().zip(wide(y));
    pairs.enumerate().map(|(i, (x, y))| x + y * f64::from(gate[i % gate.len()])).collect()
}

/// x + y.
pub fn add(x: &[f32], y: &[f32]) -> Vec<f64> {
    wide(x).into_iter().zip(wide(y)).map(|(x, y)| x + y).collect()
}

/// x * y.
pub fn mul(x: &[f32], y: &[f32]) -> Vec<f64> {
    wide(x).into_iter().zip(wide(y)).map(|(x, y)| x * y).collect()
}

/// min(max(x, low), high).
pub fn clamp(x: &[f32], low: f32, high: f32) -> Vec<f64> {
    wide(x).into_iter().map(|x| x.clamp(f64::from(low), f64::from(high))).collect()
}

/// `act` of each number.
pub fn activate(x: &[f32], act: Act) -> Vec<f64> {
    wide(x).into_iter().map(|x| activate_one(x, act)).collect()
}

/// Rotates pairs (2i, 2i + 1) of every head by the angle of table entry i.
///
/// x `[rows, heads * head_dim]`; cos and sin `[table rows, head_dim / 2]`, row r takes table row r mod table rows.
pub fn rope(x: &[f32], heads: usize, head_dim: usize, cos: &[f32], sin: &[f32]) -> Vec<f64> {
    let (half, width) = (head_dim / 2, heads * head_dim);
    let table_rows = cos.len() / half;
    let mut out = wide(x);
    for (r, row) in out.chunks_mut(width).enumerate() {
        for h in 0..heads {
            for i in 0..half {
                let entry = (r % table_rows) * half + i;
                let (c, s) = (f64::from(cos[entry]), f64::from(sin[entry]));
                let (a, b) = (row[h * head_dim + 2 * i], row[h * head_dim + 2 * i + 1]);
                row[h * head_dim + 2 * i] = a * c - b * s;
                row[h * head_dim + 2 * i + 1] = a * s + b * c;
            }
        }
    }
    out
}

/// Every pixel of x `[T, H, W, C]` repeated fh times down and fw times across: `[T, H * fh, W * fw, C]`.
pub fn upsample_nearest(x: &[f32], shape: [usize; 4], fh: usize, fw: usize) -> Vec<f64> {
    let [t, h, w, c] = shape;
    let mut out = Vec::with_capacity(x.len() * fh * fw);
    for (frame, y, x_) in grid(t, h * fh, w * fw) {
        let at = ((frame * h + y / fh) * w + x_ / fw) * c;
        out.extend(wide(&x[at..at + c]));
    }
    out
}

/// `[T, H, W, 2C]` to `[2T, H, W, C]`: frame 2t + j takes channels j * C .. (j + 1) * C of frame t.
pub fn interleave_frames(x: &[f32], shape: [usize; 4]) -> Vec<f64> {
    let [t, h, w, c2] = shape;
    let c = c2 / 2;
    let mut out = Vec::with_capacity(x.len());
    for (frame, y, x_) in grid(2 * t, h, w) {
        let at = ((frame / 2 * h + y) * w + x_) * c2 + frame % 2 * c;
        out.extend(wide(&x[at..at + c]));
    }
    out
}

/// `[C, T, H, W]` to tokens in (t, h, w) order with features in (c, pt, ph, pw) order, that of a PyTorch Conv3d weight.
pub fn patchify(x: &[f32], shape: [usize; 4], patch: [usize; 3]) -> Vec<f64> {
    let ([c, t, h, w], [pt, ph, pw]) = (shape, patch);
    let mut out = Vec::with_capacity(x.len());
    for (i, j, k) in grid(t / pt, h / ph, w / pw) {
        for channel in 0..c {
            for (a, b, d) in grid(pt, ph, pw) {
                let at = ((channel * t + i * pt + a) * h + j * ph + b) * w + k * pw + d;
                out.push(f64::from(x[at]));
            }
        }
    }
    out
}

/// Tokens in (t, h, w) order with features in (pt, ph, pw, c) order to `[C, T, H, W]` = `shape`.
pub fn unpatchify(x: &[f32], shape: [usize; 4], patch: [usize; 3]) -> Vec<f64> {
    let ([c, t, h, w], [pt, ph, pw]) = (shape, patch);
    let mut out = vec![0.0; x.len()];
    let mut values = x.iter();
    for (i, j, k) in grid(t / pt, h / ph, w / pw) {
        for (a, b, d) in grid(pt, ph, pw) {
            for channel in 0..c {
                let at = ((channel * t + i * pt + a) * h + j * ph + b) * w + k * pw + d;
                out[at] = f64::from(*values.next().expect("tokens for the whole shape"));
            }
        }
    }
    out
}

/// `[C, N]` to `[N, C]`; with N = T * H * W this is `[C, T, H, W]` to `[T, H, W, C]`.
pub fn channels_last(x: &[f32], channels: usize) -> Vec<f64> {
    let n = x.len() / channels;
    (0..x.len()).map(|i| f64::from(x[i % channels * n + i / channels])).collect()
}

/// `[N, C]` to `[C, N]`.
pub fn channels_first(x: &[f32], channels: usize) -> Vec<f64> {
    let n = x.len() / channels;
    (0..x.len()).map(|i| f64::from(x[i % n * channels + i / n])).collect()
}

/// Row `id` of the table `[vocab, width]` for each id.
pub fn embedding(table: &[f32], width: usize, ids: &[u32]) -> Vec<f64> {
    ids.iter().flat_map(|&id| wide(&table[id as usize * width..][..width])).collect()
}
