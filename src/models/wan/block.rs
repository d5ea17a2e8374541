//! One transformer block: self-attention, cross-attention, feed-forward.

use super::config::Config;
use std::ops::Range;

use super::embed::{Rope, TokenTime};
use crate::device::Device;
use crate::error::Result;
use crate::nn::{LayerNorm, Linear, Mlp, RmsNorm, Table, result_of};
use crate::ops::{self, KeyValue, OutputType};
use crate::tensor::Tensor;
use crate::weights::Weights;

/// A block of the transformer.
pub(super) struct Block {
    name: String,
    norm1: LayerNorm,
    self_attn: Attention,
    norm2: Option<LayerNorm>, // affine; absent if the model has no cross-attention norm
    cross_attn: Attention,
    norm3: LayerNorm,
    ffn: Mlp,
    table: Table, // [6, D], the scales 1 more than stored
}

impl Block {
    pub fn load(weights: &Weights, config: &Config, device: &Device) -> Result<Self> {
        let (dim, eps) = (config.inner_dim(), config.eps);
        let norm2 = config.cross_attn_norm.then(|| LayerNorm::load(&weights.at("norm2"), dim, eps, device));
        let name = |part: &str| weights.at(part).scope().to_owned();
        Ok(Self {
            name: weights.scope().into(),
            norm1: LayerNorm::plain(name("norm1"), eps),
            self_attn: Attention::load(&weights.at("attn1"), config, device)?,
            norm2: norm2.transpose()?,
            cross_attn: Attention::load(&weights.at("attn2"), config, device)?,
            norm3: LayerNorm::plain(name("norm3"), eps),
            ffn: Mlp::load(&weights.at("ffn.net"), ("0.proj", "2"), (dim, config.ffn_dim, dim), device)?,
            table: Table::load(weights, "scale_shift_table", 6, dim, device)?.one_more(&[1, 4])?,
        })
    }

    /// `x` `[B * S, D]`, `times` those of the S tokens of a branch, `text` the keys and values of each of the B branches, to
    /// `[B * S, D]`.
    ///
    /// Before the first block the branches are equal and `x` may be `[S, D]`: they part where they meet their texts.
    pub fn forward(&self, x: Tensor, times: &[TokenTime], rope: &Rope, text: &[KeyValue]) -> Result<Tensor> {
        let tokens = rope.cos.dims()[0];
        let branches = x.dims()[0] / tokens;
        let modulation = |time: &TokenTime| Ok((time.tokens.clone(), Modulation::new(&self.table, &time.projected)?));
        let m = times.iter().map(modulation).collect::<Result<Vec<_>>>()?;
        // Rows of the branches of one time, with their modulation: of all branches at once if there is no other time.
        let rows = |branches: usize| -> Vec<(Range<usize>, &Modulation)> {
            if let [(_, m)] = &m[..] {
                return vec![(0..branches * tokens, m)];
            }
            let branch = |b: usize| m.iter().map(move |(own, m)| (b * tokens + own.start..b * tokens + own.end, m));
            (0..branches).flat_map(branch).collect()
        };
        let parts: Vec<_> = rows(branches).into_iter().map(|(own, m)| (own, &m.scale_attn, &m.shift_attn)).collect();
        let h = self.norm1.forward_adaptive(&x, &parts)?;
        let y = self.self_attn.forward_self(&h, rope, branches)?;
        drop(h);
        let mut x = x;
        for (own, m) in rows(branches) {
            x = self.self_attn.to_out.forward_add(x, own.start, &y.narrow(own)?, Some(&m.gate_attn))?;
        }
        drop(y);
        if branches < text.len() {
            x = ops::repeat_rows(&x, text.len())?;
        }
        let h = match &self.norm2 {
            Some(norm) => norm.forward(&x)?,
            None => x.clone(),
        };
        let y = self.cross_attn.forward_cross(&h, text)?;
        drop(h);
        x = self.cross_attn.to_out.forward_add(x, 0, &y, None)?;
        drop(y);
        let rows = rows(text.len());
        let parts: Vec<_> = rows.iter().map(|(own, m)| (own.clone(), &m.scale_ffn, &m.shift_ffn)).collect();
        let h = self.norm3.forward_adaptive(&x, &parts)?;
        for (own, m) in rows {
            x = self.ffn.forward_gated_add(x, own.start, &h.narrow(own)?, &m.gate_ffn)?;
        }
        result_of(&self.name, x)
    }

    /// The cross-attention's keys and values of embedded text `[L, D]`.
    pub fn text_keys(&self, text: &Tensor) -> Result<KeyValue> {
        self.cross_attn.key_value(text)
    }
}

/// A block's six modulation vectors, `[1, D]` each.
struct Modulation {
    shift_attn: Tensor,
    scale_attn: Tensor,
    gate_attn: Tensor,
    shift_ffn: Tensor,
    scale_ffn: Tensor,
    gate_ffn: Tensor,
}

impl Modulation {
    fn new(table: &Table, time: &Tensor) -> Result<Self> {
        let all = table.added_to(time.clone())?;
        let row = |i| all.narrow(i..i + 1);
        Ok(Self {
            shift_attn: row(0)?,
            scale_attn: row(1)?,
            gate_attn: row(2)?,
            shift_ffn: row(3)?,
            scale_ffn: row(4)?,
            gate_ffn: row(5)?,
        })
    }
}

/// Multi-head attention with norms over the full width of queries and keys.
struct Attention {
    to_q: Linear,    // [D, D]
    to_k: Linear,    // [D, D]
    to_v: Linear,    // [D, D]
    to_out: Linear,  // [D, D]
    norm_q: RmsNorm, // [D]
    norm_k: RmsNorm, // [D]
    heads: usize,
    scale: f32,
}

impl Attention {
    fn load(weights: &Weights, config: &Config, device: &Device) -> Result<Self> {
        let dim = config.inner_dim();
        let linear = |name: &str| Linear::load(&weights.at(name), dim, dim, device);
        let norm = |name: &str| RmsNorm::load(&weights.at(name), dim, config.eps, device);
        Ok(Self {
            to_q: linear("to_q")?,
            to_k: linear("to_k")?,
            to_v: linear("to_v")?,
            to_out: linear("to_out.0")?,
            norm_q: norm("norm_q")?,
            norm_k: norm("norm_k")?,
            heads: config.num_attention_heads,
            scale: 1.0 / (config.attention_head_dim as f32).sqrt(),
        })
    }

    fn key_value(&self, x: &Tensor) -> Result<KeyValue> {
        Ok(KeyValue::new(self.norm_k.forward(&self.to_k.operand(x)?, OutputType::Operand)?, self.to_v.operand(x)?))
    }

    /// `x` `[B * S, D]`: every branch attends to its own rows. What comes goes through `to_out` next.
    fn forward_self(&self, x: &Tensor, rope: &Rope, branches: usize) -> Result<Tensor> {
        let rotated = |norm: &RmsNorm, x| norm.forward_rope(x, self.heads, &rope.cos, &rope.sin);
        let q = rotated(&self.norm_q, self.to_q.operand(x)?)?;
        let key = rotated(&self.norm_k, self.to_k.operand(x)?)?;
        let value = self.to_v.operand(x)?;
        let rows = x.dims()[0] / branches;
        let split = (0..branches).map(|b| {
            let own = b * rows..(b + 1) * rows;
            Ok(KeyValue::new(key.narrow(own.clone())?, value.narrow(own)?))
        });
        ops::attention(&q, &split.collect::<Result<Vec<_>>>()?, self.heads, self.scale, OutputType::Operand)
    }

    /// `x` `[B * S, D]`: every branch attends to its own text. What comes goes through `to_out` next.
    fn forward_cross(&self, x: &Tensor, text: &[KeyValue]) -> Result<Tensor> {
        let q = self.norm_q.forward(&self.to_q.operand(x)?, OutputType::Operand)?;
        ops::attention(&q, text, self.heads, self.scale, OutputType::Operand)
    }
}
