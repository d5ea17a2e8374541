//! The tensors of a model, as the code of models asks for them.

use std::collections::{BTreeMap, HashMap};
use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::component::{Component, Located};
use super::file::bytes::Bytes;
use super::file::data::Mapping;
use super::file::files::Files;
use super::naming::table::{NameTable, same_but_ones};
use super::warning::Warning;
use super::weight::Weight;
use crate::device::{CountedWeights, Device};
use crate::error::{Error, Result};
use crate::tensor::shape::Shape;

/// The tensors of one model, seen from a scope within it: `at("blocks.3")` makes `attn1.to_q.weight` out of
/// `blocks.3.attn1.to_q.weight`. Cheap to clone.
#[derive(Clone)]
pub struct Weights {
    component: Arc<Component>,
    /// From names of the model's table to those under which they are stored, where the two differ.
    stored_names: Arc<HashMap<String, String>>,
    scope: String,
    /// A dry run's sum of the bytes of matrices, which are not read then.
    counted: Option<Arc<CountedWeights>>,
}

impl Weights {
    /// Opens one safetensors file without a name table.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Checkpoint`] when it is damaged.
    pub fn open(path: &Path, mapping: Mapping) -> Result<Self> {
        Component::open(Located::single(path.to_owned()), &Files::Disk(mapping)).map(Self::new)
    }

    /// The tensors of a safetensors file in memory, which is not copied; `name` is what messages call it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when it is damaged.
    pub fn from_bytes(name: impl Into<PathBuf>, bytes: impl Into<Bytes>) -> Result<Self> {
        let name = name.into();
        let files = Files::Memory(Arc::new(BTreeMap::from([(name.clone(), bytes.into())])));
        Component::open(Located::single(name), &files).map(Self::new)
    }

    /// Tensors that are in memory already, under their own names; of two with the same name the later one counts.
    pub fn from_weights(weights: impl IntoIterator<Item = Weight>) -> Self {
        Self::new(Component::from_weights(weights))
    }

    pub(super) fn new(component: Component) -> Self {
        Self { component: Arc::new(component), stored_names: Arc::default(), scope: String::new(), counted: None }
    }

    /// Checks the tensors against a model's name table; from then on the table's names find what is stored under others.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming file and tensor when one is missing, misshapen, of a storage type that is not read, or
    /// numbered past what the configuration has. Tensors that the table does not know are one [`Warning`].
    pub fn checked(mut self, table: &NameTable) -> Result<(Self, Vec<Warning>)> {
        let (stored_names, warnings) = table.check(&self.component)?;
        self.stored_names = Arc::new(stored_names);
        Ok((self, warnings))
    }

    /// The scope `scope` below this one.
    pub fn at(&self, scope: impl Display) -> Self {
        let mut below = self.clone();
        if !below.scope.is_empty() {
            below.scope.push('.');
        }
        // Writing to a string cannot fail.
        let _ = write!(below.scope, "{scope}");
        below
    }

    /// The weights for `device`: on one that only counts, matrices come without their bytes.
    pub(crate) fn on(&self, device: &Device) -> Self {
        Self { counted: device.counted_weights().cloned(), ..self.clone() }
    }

    /// Whether matrices are copied from their files, and neither mapped nor in memory already.
    pub(crate) fn copies(&self) -> bool {
        self.component.copies()
    }

    /// This scope: the name of a layer.
    pub(crate) fn scope(&self) -> &str {
        &self.scope
    }

    /// The full name of `name` in this scope.
    fn full(&self, name: &str) -> String {
        match self.scope.as_str() {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        }
    }

    /// The name under which a full name is stored.
    fn stored_name<'a>(&'a self, full: &'a str) -> &'a str {
        self.stored_names.get(full).map_or(full, String::as_str)
    }

    /// Whether there is a tensor of this name.
    pub fn contains(&self, name: &str) -> bool {
        self.component.has(self.stored_name(&self.full(name)))
    }

    /// The tensor of this name, whatever its shape.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] when it is missing, of a storage type that is not read, or of more than five axes.
    pub fn get(&self, name: &str) -> Result<Weight> {
        self.component.load(self.stored_name(&self.full(name)), self.counted.is_none())
    }

    /// The tensor of this name and exactly these axis lengths, of any rank, in its stored bytes.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] with file, tensor, expected and found shape.
    pub fn matrix(&self, name: &str, dims: &[usize]) -> Result<Weight> {
        self.exactly(name, dims, false)
    }

    /// A [`matrix`](Self::matrix) whose rows the processor looks up, whatever the device: a table of embeddings.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] with file, tensor, expected and found shape.
    pub fn lookup(&self, name: &str, dims: &[usize]) -> Result<Weight> {
        self.exactly(name, dims, true)
    }

    fn exactly(&self, name: &str, dims: &[usize], on_host: bool) -> Result<Weight> {
        let weight = self.fitting(name, dims, |found| found == dims)?;
        if let Some(matrices) = &self.counted {
            matrices.count(weight.storage().bytes_of(weight.shape().numel()) as u64, on_host);
        }
        Ok(weight)
    }

    /// A vector, widened; axes of length one in its stored shape do not count: `[C, 1, 1, 1]` is a vector of `C`.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] with file, tensor, expected and found shape.
    pub fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>> {
        self.flat(name, &[len]).map(|weight| weight.to_vec())
    }

    /// A table of `rows` vectors of `width`, widened, row-major; axes of length one in its stored shape do not count:
    /// `[1, 6, D]` is a table of six rows.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] with file, tensor, expected and found shape.
    pub fn table(&self, name: &str, rows: usize, width: usize) -> Result<Vec<f32>> {
        self.flat(name, &[rows, width]).map(|weight| weight.to_vec())
    }

    /// The tensor of this name and these axis lengths, axes of length one in its stored shape not counting.
    pub(crate) fn flat(&self, name: &str, dims: &[usize]) -> Result<Weight> {
        self.fitting(name, dims, |found| same_but_ones(found, Shape::new(dims)))
    }

    fn fitting(&self, name: &str, dims: &[usize], fits: impl FnOnce(&[usize]) -> bool) -> Result<Weight> {
        let full = self.full(name);
        let stored = self.stored_name(&full);
        let Some((file, found, _)) = self.component.describe(stored) else {
            return Err(Error::tensor(self.component.main(), &full, format!("is missing, expected {dims:?}")));
        };
        if !fits(found) {
            return Err(Error::tensor(file, stored, format!("expected {dims:?}, found {found:?}")));
        }
        self.component.load(stored, self.counted.is_none())
    }

    /// Checks that size and time of every mapped file are what they were when it was mapped; to be called before the
    /// weights of a block are used. With [`Mapping::Read`] the bytes are in memory, and files are examined when they are read.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] naming the file that was written to.
    pub fn check_unchanged(&self) -> Result<()> {
        self.component.check_unchanged()
    }
}
