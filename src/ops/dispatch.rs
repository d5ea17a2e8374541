//! Dispatches of shaders on tensors.

use std::ops::Range;

use crate::device::tuning::{COOPERATIVE_TERMS, Class, TileSizes};
use crate::device::work::Work;
use crate::error::{Error, Result};
use crate::tensor::{DType, Tensor};
use crate::vulkan::constants::{self, cooperative};
use crate::vulkan::{BufferDispatch, BufferPart, CooperativeMatrix, DispatchParams, GpuLayout, Input, Shader, Vulkan};
use crate::weights::Weight;

/// Invocations of a workgroup of the shaders that go from number to number.
pub(super) const LOCAL: usize = 128;

/// Workgroups for so many numbers, of which each invocation takes four.
pub(super) fn groups_of(numbers: usize) -> usize {
    numbers.div_ceil(4 * LOCAL)
}

/// What a binding of a shader reads.
#[derive(Clone)]
pub(super) enum Bound<'a> {
    /// Some elements of a tensor.
    Tensor(&'a Tensor, Range<usize>),
    /// Some elements of a weight in this layout.
    Weight(&'a Weight, GpuLayout, Range<usize>),
    /// An optional input that is absent: the shader does not read it.
    Nothing,
}

/// One dispatch of a shader: what it writes, reads and gets as parameters.
pub(super) struct Dispatch<'a> {
    shader: &'static Shader,
    constants: Vec<(u32, u32)>,
    /// What is written, of all its elements these.
    out: (&'a mut Tensor, Range<usize>),
    /// Bindings 1 and following.
    inputs: Vec<Bound<'a>>,
    sizes: Vec<u32>,
    scalars: Vec<f32>,
    groups: usize,
    in_place: bool,
}

impl<'a> Dispatch<'a> {
    /// A dispatch that writes `out`; what is changed in place has to be [unshared](Tensor::unshare).
    pub fn new(shader: &'static Shader, out: &'a mut Tensor) -> Self {
        let (constants, inputs, sizes, scalars) = Default::default();
        let all = 0..out.shape().numel();
        Self { shader, constants, out: (out, all), inputs, sizes, scalars, groups: 0, in_place: false }
    }

    /// Reads what it writes.
    pub fn in_place(mut self) -> Self {
        self.in_place = true;
        self
    }

    /// Writes these elements alone.
    pub fn within(mut self, elements: Range<usize>) -> Self {
        self.out.1 = elements;
        self
    }

    /// Writes these rows alone.
    pub fn rows(self, rows: &Range<usize>) -> Self {
        let width = self.out.0.shape().last();
        self.within(rows.start * width..rows.end * width)
    }

    /// A specialization constant, by an id of [`constants`].
    pub fn constant(mut self, id: u32, value: impl Into<u32>) -> Self {
        self.constants.push((id, value.into()));
        self
    }

    /// A specialization constant that is a size; far below 2^32.
    pub fn size_constant(self, id: u32, size: usize) -> Self {
        self.constant(id, size as u32)
    }

    /// The next binding is a tensor.
    pub fn read(self, tensor: &'a Tensor) -> Self {
        self.bind(Bound::Tensor(tensor, 0..tensor.shape().numel()))
    }

    /// The next binding is these rows of a tensor.
    pub fn read_rows(self, tensor: &'a Tensor, rows: &Range<usize>) -> Self {
        let width = tensor.shape().last();
        self.bind(Bound::Tensor(tensor, rows.start * width..rows.end * width))
    }

    /// The next binding is these elements of a weight in this layout.
    pub fn weight(self, weight: &'a Weight, layout: GpuLayout, elements: Range<usize>) -> Self {
        self.bind(Bound::Weight(weight, layout, elements))
    }

    /// The next binding is a tensor that need not be there.
    pub fn maybe(self, tensor: Option<&'a Tensor>) -> Self {
        match tensor {
            Some(tensor) => self.read(tensor),
            None => self.bind(Bound::Nothing),
        }
    }

    /// The next binding is elements of a tensor that need not be there.
    pub fn maybe_part(self, tensor: Option<&'a Tensor>, elements: &Range<usize>) -> Self {
        self.bind(tensor.map_or(Bound::Nothing, |tensor| Bound::Tensor(tensor, elements.clone())))
    }

    /// The next binding.
    pub fn bind(mut self, bound: Bound<'a>) -> Self {
        self.inputs.push(bound);
        self
    }

    /// The next sizes; they are below 2^32, as the elements of every buffer are.
    pub fn sizes(mut self, sizes: &[usize]) -> Self {
        self.sizes.extend(sizes.iter().map(|&size| u32::try_from(size).unwrap_or(u32::MAX)));
        self
    }

    /// The next scalars.
    pub fn scalars(mut self, scalars: &[f32]) -> Self {
        self.scalars.extend(scalars);
        self
    }

    /// The number of workgroups.
    pub fn groups(mut self, groups: usize) -> Self {
        self.groups = groups;
        self
    }

    /// Tile sizes, and workgroups for so many rows and columns of a product: ids 1 to 4 of every shader of products.
    pub fn tiled(self, vulkan: &Vulkan, class: Class, rows: usize, columns: usize) -> Self {
        use constants::linear::{BM, BN, TM, TN};
        let tiles = vulkan.tiles(class, 0);
        let TileSizes { group, own } = tiles;
        let subgroup = vulkan.cooperative().filter(|_| class.is_cooperative()).map_or(1, |matrix| matrix.subgroup);
        let sized = self.constant(constants::LOCAL_SIZE, class.parts(tiles) as u32 * subgroup);
        let sized = sized.size_constant(BM, group[0]).size_constant(BN, group[1]);
        let sized = sized.size_constant(TM, own[0]).size_constant(TN, own[1]);
        sized.groups(rows.div_ceil(group[0]) * columns.div_ceil(group[1]))
    }

    /// The cooperative matrices that it multiplies.
    pub fn cooperative(self, matrix: CooperativeMatrix) -> Self {
        let ids = [cooperative::UNIT_M, cooperative::UNIT_N, cooperative::UNIT_K];
        let sized = ids.into_iter().zip(matrix.shape).fold(self, |sized, (id, side)| sized.constant(id, side));
        sized.size_constant(cooperative::BK, COOPERATIVE_TERMS)
    }

    /// Has the device run it, which is not waited for.
    pub fn run(self, vulkan: &Vulkan, work: Work) -> Result<()> {
        let Self { shader, constants, out: (out, written), inputs, sizes, scalars, groups, in_place } = self;
        if groups == 0 {
            return Ok(());
        }
        let out = part(vulkan, shader, out, written)?;
        let input = |bound| {
            Ok(match bound {
                Bound::Tensor(tensor, elements) => Input::Buffer(part(vulkan, shader, tensor, elements)?),
                Bound::Weight(weight, layout, elements) => Input::Weight(weight, layout, elements),
                Bound::Nothing => Input::Nothing,
            })
        };
        let inputs: Vec<Input> = inputs.into_iter().map(input).collect::<Result<_>>()?;
        let params = DispatchParams { constants: &constants, sizes: &sizes, scalars: &scalars, groups };
        vulkan.run(work, BufferDispatch { shader, params, out, in_place, inputs: &inputs })
    }
}

/// Elements of a tensor in its buffer.
fn part<'a>(vulkan: &Vulkan, shader: &Shader, tensor: &'a Tensor, elements: Range<usize>) -> Result<BufferPart<'a>> {
    if tensor.dtype() != DType::F32 && !shader.f16 {
        let shape = tensor.shape();
        let why = "F32; operands of F16 are for products, attention, convolutions and norms";
        return Err(Error::Shape { op: shader.name, left: shape, right: shape, why });
    }
    let (block, start) = tensor.on(vulkan)?;
    let element = tensor.dtype().size() as u64;
    let bytes = (start + elements.start) as u64 * element..(start + elements.end) as u64 * element;
    Ok(BufferPart { block, bytes, element })
}

/// Copies elements of one tensor to as many of another one of the same type, on the device of both.
pub(super) fn copy(
    vulkan: &Vulkan,
    (from, read): (&Tensor, Range<usize>),
    (to, written): (&Tensor, Range<usize>),
    work: Work,
) -> Result<()> {
    debug_assert_eq!(from.dtype(), to.dtype());
    vulkan.copy((from.on(vulkan)?.0, from.words(read)), (to.on(vulkan)?.0, to.words(written)), work)
}
