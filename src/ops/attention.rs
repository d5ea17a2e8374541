use std::ops::Range;

use zoetrope_kernels as kernels;

use super::checks::{check, check_place, finished};
use super::dispatch::{Bound, Dispatch, LOCAL, groups_of};
use crate::device::Device;
use crate::device::tuning::{COOPERATIVE_SIDE, Class, KEYS, SUBGROUPS, TileSizes};
use crate::device::work::Work;
use crate::error::Result;
use crate::tensor::{OutputType, Tensor};
use crate::vulkan::constants::{LOCAL_SIZE, attention as constants, columns as columns_constants};
use crate::vulkan::{self, CooperativeMatrix, Vulkan};

/// What is added to the scaled scores before the softmax.
#[derive(Clone, Debug, Default)]
pub enum AttentionBias {
    /// Nothing.
    #[default]
    None,
    /// One value for each key, `[keys]`, the same for all heads and queries.
    PerKey(Tensor),
    /// `[heads, queries, keys]`.
    PerHead(Tensor),
}

/// The keys and values of one branch of guidance.
#[derive(Clone, Debug)]
pub struct KeyValue {
    /// `[L, heads * head_dim]`.
    pub key: Tensor,
    /// `[L, heads * head_dim]`.
    pub value: Tensor,
    /// Added to the scores.
    pub bias: AttentionBias,
    /// How many of the rows are keys; later ones are not read.
    pub length: usize,
}

impl KeyValue {
    /// All rows of `key` and `value`, no bias.
    pub fn new(key: Tensor, value: Tensor) -> Self {
        let length = key.shape().rows();
        Self { key, value, bias: AttentionBias::None, length }
    }
}

/// `softmax(scale * q kᵀ + bias) v` for every head, streamed: the scores are never held as a whole.
///
/// `q` `[branches * Lq, heads * head_dim]`: equal runs of rows, one for each entry of `branches`, which may differ in
/// the number of their keys; result shaped as `q`. Online softmax after Milakov and Gimelshein (arXiv 1805.02867).
///
/// # Errors
/// [`Shape`](crate::Error::Shape) naming the operands that do not fit.
pub fn attention(q: &Tensor, branches: &[KeyValue], heads: usize, scale: f32, output: OutputType) -> Result<Tensor> {
    const OP: &str = "attention";
    let width = q.shape().last();
    let rows = q.shape().rows();
    let split = [branches.len(), heads];
    check(q.shape().rank() == 2, OP, q.shape(), split, "queries are [L, heads * head_dim]")?;
    check(heads > 0 && width.is_multiple_of(heads), OP, q.shape(), split, "the width is a multiple of the heads")?;
    let equal = !branches.is_empty() && rows.is_multiple_of(branches.len());
    check(equal, OP, q.shape(), split, "the rows are equal runs, one for each branch")?;
    let queries = rows / branches.len();
    for KeyValue { key, value, bias, length } in branches {
        check_place(q, key)?;
        check_place(q, value)?;
        if let AttentionBias::PerKey(bias) | AttentionBias::PerHead(bias) = bias {
            check_place(q, bias)?;
        }
        check(key.shape() == value.shape(), OP, key.shape(), value.shape(), "keys and values have one shape")?;
        check(key.dims() == [key.shape().rows(), width], OP, q.shape(), key.shape(), "keys are as wide as queries")?;
        let reach = [*length, width];
        check((1..=key.shape().rows()).contains(length), OP, key.shape(), reach, "the key length is 1 to the rows")?;
        match bias {
            AttentionBias::None => {}
            AttentionBias::PerKey(bias) => {
                check(bias.dims() == [*length], OP, key.shape(), bias.shape(), "one bias for each key")?;
            }
            AttentionBias::PerHead(bias) => {
                let expected = [heads, queries, *length];
                check(bias.dims() == expected, OP, expected.into(), bias.shape(), "a bias is [heads, queries, keys]")?;
            }
        }
    }
    // Heads of an odd width do not begin at whole words.
    let output = if (width / heads).is_multiple_of(2) { output } else { OutputType::F32 };
    let mut out = Tensor::uninit_as(q.device(), q.shape(), output)?;
    if q.shape().numel() == 0 {
        return Ok(out);
    }
    match q.device() {
        Device::Cpu(cpu) => {
            let all = out.data_mut()?;
            for (i, KeyValue { key, value, bias, length }) in branches.iter().enumerate() {
                let shape = kernels::Attention {
                    heads,
                    head_dim: width / heads,
                    queries,
                    keys: *length,
                    q_stride: width,
                    kv_stride: width,
                    out_stride: width,
                    scale,
                };
                let bias = match bias {
                    AttentionBias::None => kernels::AttentionBias::None,
                    AttentionBias::PerKey(bias) => kernels::AttentionBias::PerKey(bias.data()),
                    AttentionBias::PerHead(bias) => kernels::AttentionBias::PerHead(bias.data()),
                };
                let own = i * queries * width..(i + 1) * queries * width;
                cpu.run(Work::attention(&shape), all, |exec, all| {
                    let (q, out) = (&q.data()[own.clone()], &mut all[own]);
                    kernels::attention(exec, &shape, q, key.data(), value.data(), bias, out);
                });
            }
        }
        Device::Vulkan(vulkan) => {
            for (i, branch) in branches.iter().enumerate() {
                run(vulkan, q, i * queries, queries, branch, heads, scale, &mut out)?;
            }
        }
    }
    finished(out)
}

/// The widest heads whose queries and results fit into the registers of a subgroup as cooperative matrices.
const WIDEST: usize = 128;

/// Cooperative matrices for heads of these operands, if they serve, and how many queries a workgroup then has.
fn cooperative_for(
    vulkan: &Vulkan,
    head_dim: usize,
    operands: [&Tensor; 3],
) -> Result<Option<(CooperativeMatrix, usize)>> {
    let mut fits = head_dim <= WIDEST && head_dim.is_multiple_of(8);
    for operand in operands {
        fits &= operand.is_f16() && operand.on(vulkan)?.1.is_multiple_of(8) && operand.shape().last().is_multiple_of(8);
    }
    let Some(matrix) = vulkan.cooperative().filter(|_| fits) else { return Ok(None) };
    let matrix_rows = matrix.shape[0] as usize;
    let shared = |rows: usize| 4 * KEYS * (head_dim.next_multiple_of(COOPERATIVE_SIDE) + 8) + 4 * rows * (KEYS + 8);
    let takes = |rows: &usize| rows / matrix_rows <= SUBGROUPS && shared(*rows) <= vulkan.shared();
    Ok([128, 64, 32].into_iter().find(takes).map(|rows| (matrix, rows)))
}

/// Dispatches the shader on one branch: on all heads, or on some after the others where keys and values do not fit one binding.
fn run(
    vulkan: &Vulkan,
    q: &Tensor,
    first_query: usize,
    queries: usize,
    branch: &KeyValue,
    heads: usize,
    scale: f32,
    out: &mut Tensor,
) -> Result<()> {
    let KeyValue { key, value, bias, length } = branch;
    let head_dim = q.shape().last() / heads;
    let bytes = |heads: usize| length * heads * head_dim * key.dtype().size().max(value.dtype().size());
    let mut part = Part { first_query, queries, heads: 0..heads, head_dim, scale };
    if vulkan.fits_binding(bytes(heads)) {
        return part.on(vulkan, q, branch, out);
    }
    let most = (1..heads).rev().find(|&heads| vulkan.fits_binding(bytes(heads))).unwrap_or(1);
    for first in (0..heads).step_by(most) {
        part.heads = first..heads.min(first + most);
        let of =
            |tensor: &Tensor| columns(vulkan, tensor, *length, part.heads.start * head_dim..part.heads.end * head_dim);
        let own = KeyValue { key: of(key)?, value: of(value)?, bias: bias.clone(), length: *length };
        part.on(vulkan, q, &own, out)?;
    }
    Ok(())
}

/// Some columns of the first rows.
fn columns(vulkan: &Vulkan, x: &Tensor, rows: usize, columns: Range<usize>) -> Result<Tensor> {
    let (width, stride) = (columns.len(), x.shape().last());
    let mut out = x.uninit_like([rows, width])?;
    let words = |elements: usize| elements * x.dtype().size() / size_of::<f32>();
    for rows in vulkan.parts(rows, stride) {
        let run = Dispatch::new(&vulkan::COLUMNS, &mut out).rows(&rows);
        let seen = rows.start * stride + columns.start..(rows.end - 1) * stride + columns.end;
        let count = rows.len() * width;
        let run = run.bind(Bound::Tensor(x, seen)).sizes(&[words(count), words(width), words(stride)]);
        let run = run
            .size_constant(LOCAL_SIZE, LOCAL)
            .constant(columns_constants::HALVES, x.is_f16())
            .groups(groups_of(words(count)));
        run.run(vulkan, Work::moved(2 * count))?;
    }
    Ok(out)
}

/// Some heads of one branch.
struct Part {
    /// The branch's first row of all queries, and how many it has.
    first_query: usize,
    queries: usize,
    heads: Range<usize>,
    head_dim: usize,
    scale: f32,
}

impl Part {
    /// Dispatches the shader on keys and values of these heads alone.
    fn on(&self, vulkan: &Vulkan, q: &Tensor, branch: &KeyValue, out: &mut Tensor) -> Result<()> {
        let &Self { first_query, queries, ref heads, head_dim, scale } = self;
        let KeyValue { key, value, bias, length } = branch;
        let (width, own_width) = (q.shape().last(), key.shape().last());
        let matrix = cooperative_for(vulkan, head_dim, [q, key, value])?;
        // A bias for each query counts all of them, and comes with few.
        let most = match bias {
            AttentionBias::PerHead(_) => queries,
            _ => vulkan.parts(queries, width).first().map_or(queries, Range::len),
        };
        let (kind, bias) = match bias {
            AttentionBias::None => (0u32, Bound::Nothing),
            AttentionBias::PerKey(bias) => (1, Bound::Tensor(bias, 0..*length)),
            AttentionBias::PerHead(bias) => {
                (2, Bound::Tensor(bias, heads.start * queries * length..heads.end * queries * length))
            }
        };
        for part in (0..queries).step_by(most).map(|first| first..queries.min(first + most)) {
            let all = (first_query + part.start) * width + heads.start * head_dim
                ..(first_query + part.end - 1) * width + heads.end * head_dim;
            let starts = [q.on(vulkan)?.1 + all.start, key.on(vulkan)?.1, value.on(vulkan)?.1];
            let aligned = head_dim.is_multiple_of(4) && starts.iter().all(|start| start.is_multiple_of(4));
            let f16 = [q, key, value, &*out].map(Tensor::is_f16);
            let shader = if matrix.is_some() { &vulkan::ATTENTION_COOPERATIVE } else { &vulkan::ATTENTION };
            let run = Dispatch::new(shader, &mut *out).within(all.clone()).bind(Bound::Tensor(q, all));
            let run = run.read_rows(key, &(0..*length)).read_rows(value, &(0..*length)).bind(bias.clone());
            let run = run.sizes(&[heads.len(), head_dim, part.len(), *length, width, own_width, width]);
            let run = run.scalars(&[scale]);
            let (run, rows) = match matrix {
                Some((matrix, rows)) => {
                    let local = rows as u32 / matrix.shape[0] * matrix.subgroup;
                    let run = run.constant(LOCAL_SIZE, local).size_constant(constants::BM, rows);
                    let run = run.size_constant(constants::BN, KEYS);
                    let head = head_dim.next_multiple_of(COOPERATIVE_SIDE);
                    (run.size_constant(constants::HEAD, head).cooperative(matrix), rows)
                }
                None => {
                    let (class, vectors) = (Class::attention(head_dim), head_dim.div_ceil(KEYS));
                    let tiles = vulkan.tiles(class, vectors);
                    let TileSizes { group: [rows, slice], own: [own, _] } = tiles;
                    let run = run.size_constant(LOCAL_SIZE, class.parts(tiles)).size_constant(constants::BM, rows);
                    let run = run.size_constant(constants::BN, KEYS).size_constant(constants::TM, own);
                    (run.size_constant(constants::VECTORS, vectors).size_constant(constants::SLICE, slice), rows)
                }
            };
            let run = run.constant(constants::BIAS, kind).constant(constants::ALIGNED, aligned);
            let ids = [constants::Q_HALVES, constants::K_HALVES, constants::V_HALVES, constants::OUT_HALVES];
            let run = ids.into_iter().zip(f16).fold(run, |run, (id, f16)| run.constant(id, f16));
            let product = [4, part.len(), *length, heads.len() * head_dim];
            let product = product.into_iter().fold(1, |all: u64, size| all.saturating_mul(size as u64));
            let run = run.groups(heads.len() * part.len().div_ceil(rows));
            run.run(vulkan, Work { attention: product, ..Work::default() })?;
        }
        Ok(())
    }
}
