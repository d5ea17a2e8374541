use std::ops::Range;

use super::Shader;
use crate::tensor::Tensor;
use crate::weights::storage::Storage;
use crate::weights::weight::Weight;

/// What a binding of a shader reads.
#[derive(Clone)]
#[cfg_attr(not(feature = "vulkan"), expect(dead_code, reason = "nothing runs it"))]
pub(crate) enum Bound<'a> {
    /// Some elements of a tensor.
    Tensor(&'a Tensor, Range<usize>),
    /// Some elements of a weight as it is kept there; it is uploaded if it is not on the device yet.
    Weight(&'a Weight, Range<usize>),
    /// An optional input that is not there: the shader does not read it.
    Nothing,
}

/// How a weight lies on a GPU: as it is stored, or as matrix units read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub storage: Storage,
    /// Whether shaders for matrix units take it: of F16, and the taps of a kernel outside its channels.
    pub for_units: bool,
}

/// One run of a shader: what it writes, reads and is told.
#[cfg_attr(not(feature = "vulkan"), expect(dead_code, reason = "nothing runs it"))]
pub(crate) struct Dispatch<'a> {
    pub shader: &'static Shader,
    /// Specialization constants by their ids.
    pub constants: Vec<(u32, u32)>,
    /// What is written, of all its elements these.
    pub out: (&'a mut Tensor, Range<usize>),
    /// Bindings 1 and following.
    pub inputs: Vec<Bound<'a>>,
    /// The op's sizes.
    pub sizes: Vec<u32>,
    /// The op's scalars.
    pub scalars: Vec<f32>,
    /// How many workgroups the whole takes.
    pub groups: usize,
    /// Whether what is written is read before.
    pub in_place: bool,
}

impl<'a> Dispatch<'a> {
    /// A run that writes `out`; what is changed in place has to be [unshared](Tensor::unshare).
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

    /// A specialization constant.
    pub fn constant(mut self, id: u32, value: u32) -> Self {
        self.constants.push((id, value));
        self
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

    /// The next binding is these elements of a weight.
    pub fn weight(self, weight: &'a Weight, elements: Range<usize>) -> Self {
        self.bind(Bound::Weight(weight, elements))
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
}
