//! Name tables: which tensors a model has, under which names and in which shapes.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;

use safetensors::Dtype;

use super::component::Component;
use super::header::Declared;
use super::shown;
use super::storage::Storage;
use crate::error::{Error, Result};
use crate::tensor::Shape;

/// Something about a checkpoint that is worth telling and no reason to stop.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Tensors that the model does not use.
    Extra {
        /// The file, or the index of the files, that holds them.
        file: PathBuf,
        /// How many there are.
        count: usize,
        /// The first few names, sorted.
        names: Vec<String>,
    },
    /// Keys of a file that nothing here knows.
    UnknownKeys {
        /// The file.
        file: PathBuf,
        /// The keys, sorted.
        keys: Vec<String>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extra { file, count, names } => {
                let plural = if *count == 1 { "" } else { "s" };
                let more = if *count > names.len() { ", …" } else { "" };
                write!(f, "{}: {count} tensor{plural} not used: {}{more}", file.display(), names.join(", "))
            }
            Self::UnknownKeys { file, keys } => {
                write!(f, "{}: keys that are not known and not used: {}", file.display(), keys.join(", "))
            }
        }
    }
}

/// The tensors that a model of a given configuration has.
///
/// Built from a configuration that has been validated; held against a checkpoint when a component is opened.
#[derive(Clone, Debug)]
pub struct NameTable {
    model: &'static str,
    tensors: BTreeMap<String, Expected>,
    ignored: Vec<&'static str>,
    lists: Vec<List>,
    foreign: Vec<(&'static str, &'static str)>,
}

#[derive(Clone, Debug)]
struct Expected {
    shape: Shape,
    /// Whether axes of length one count; vectors and tables are stored with and without them.
    exact: bool,
    alias: Option<&'static str>,
}

/// Numbered parts, as `blocks.0` to `blocks.29`.
#[derive(Clone, Debug)]
struct List {
    prefix: String,
    count: usize,
    key: &'static str,
}

impl NameTable {
    /// An empty table for the class of this name.
    pub fn new(model: &'static str) -> Self {
        Self { model, tensors: BTreeMap::new(), ignored: Vec::new(), lists: Vec::new(), foreign: Vec::new() }
    }

    /// Adds a matrix or a conv kernel, whose shape must be met exactly.
    pub fn matrix(&mut self, name: impl Into<String>, dims: &[usize]) {
        self.tensors.insert(name.into(), Expected { shape: Shape::new(dims), exact: true, alias: None });
    }

    /// Adds a vector or a table of vectors in the shape in which diffusers stores it; axes of length one may be more or
    /// fewer in a file.
    pub fn vector(&mut self, name: impl Into<String>, dims: &[usize]) {
        self.tensors.insert(name.into(), Expected { shape: Shape::new(dims), exact: false, alias: None });
    }

    /// Adds the weight `[out, inner…]` and the bias `[out]` of a linear layer or a conv.
    pub fn layer(&mut self, prefix: &str, dims: &[usize]) {
        self.matrix(format!("{prefix}.weight"), dims);
        self.vector(format!("{prefix}.bias"), &dims[..1]);
    }

    /// Accepts `alias` in place of `name`, which is already in the table.
    pub fn alias(&mut self, name: &str, alias: &'static str) {
        if let Some(expected) = self.tensors.get_mut(name) {
            expected.alias = Some(alias);
        }
    }

    /// Passes over names that start with `prefix` in silence: parts of the file that this use of the model has no need
    /// for, as a VAE's encoder when decoding.
    pub fn ignore(&mut self, prefix: &'static str) {
        self.ignored.push(prefix);
    }

    /// Says that names of the form `prefix` + number go up to `count - 1`, as the configuration's `key` has it.
    pub fn list(&mut self, prefix: impl Into<String>, count: usize, key: &'static str) {
        self.lists.push(List { prefix: prefix.into(), count, key });
    }

    /// Says what a file is that lacks tensors and has one of this name instead.
    pub fn foreign(&mut self, name: &'static str, remedy: &'static str) {
        self.foreign.push((name, remedy));
    }

    /// Names and shapes, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Shape)> {
        self.tensors.iter().map(|(name, expected)| (name.as_str(), expected.shape))
    }

    /// Holds the component's tensors against the table: what is missing, misshapen, of a dtype that is not read or
    /// numbered past the configuration is an error, what is left over one warning. Returns the names that are stored
    /// under an alias.
    pub(super) fn check(&self, component: &Component) -> Result<(HashMap<String, String>, Vec<Warning>)> {
        let extra = self.extra(component)?;
        let mut aliases = HashMap::new();
        let mut missing = Vec::new();
        for (name, expected) in &self.tensors {
            let alias = expected.alias.filter(|alias| !component.has(name) && component.has(alias));
            aliases.extend(alias.map(|alias| (name.clone(), alias.to_owned())));
            let stored = alias.unwrap_or(name);
            let Some((file, dims, dtype)) = component.describe(stored) else {
                missing.push((name, expected.shape));
                continue;
            };
            let fits = if expected.exact { dims == expected.shape.dims() } else { same_but_ones(dims, expected.shape) };
            if !fits {
                let why = format!(
                    "expected {}, found {dims:?}: config.json and weights do not belong together",
                    expected.shape
                );
                return Err(Error::tensor(file, stored, why));
            }
            if let Declared::Unread(dtype) = dtype {
                return Err(Error::tensor(file, stored, unread_dtype(dtype)));
            }
        }
        if let Some((name, shape)) = missing.first() {
            let others = match missing.len() - 1 {
                0 => String::new(),
                n => format!(", and so are {n} others"),
            };
            let remedy = self.foreign.iter().find(|(name, _)| component.has(name)).map(|(_, remedy)| *remedy);
            let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
            let why = format!("is missing ({} expects {shape}){others}{remedy}", self.model);
            return Err(Error::tensor(component.main(), name, why));
        }
        Ok((aliases, extra))
    }

    /// The warning about tensors that are not in the table; an error when one of them is numbered past a list's end.
    fn extra(&self, component: &Component) -> Result<Vec<Warning>> {
        let aliases: HashSet<_> = self.tensors.values().filter_map(|expected| expected.alias).collect();
        let mut names: Vec<_> = component
            .names()
            .filter(|name| !self.tensors.contains_key(*name) && !aliases.contains(name))
            .filter(|name| !self.ignored.iter().any(|prefix| name.starts_with(prefix)))
            .collect();
        names.sort_unstable();
        for name in &names {
            let past = self.lists.iter().find_map(|list| {
                let (number, _) = name.strip_prefix(list.prefix.as_str())?.split_once('.')?;
                let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
                // A number that does not fit is past every end.
                (digits && !number.parse().is_ok_and(|n: usize| n < list.count)).then_some(list)
            });
            if let Some(list) = past {
                let why = format!(
                    "is past {} = {} of config.json: config and weights do not belong together",
                    list.key, list.count
                );
                return Err(Error::tensor(
                    component.describe(name).map_or(component.main(), |(file, ..)| file),
                    &shown(name),
                    why,
                ));
            }
        }
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let first = names.iter().take(5).map(|name| shown(name)).collect();
        Ok(vec![Warning::Extra { file: component.main().to_owned(), count: names.len(), names: first }])
    }
}

/// Whether two shapes are the same when axes of length one are left out.
pub(super) fn same_but_ones(dims: &[usize], shape: Shape) -> bool {
    let long = |dim: &&usize| **dim != 1;
    dims.iter().filter(long).eq(shape.dims().iter().filter(long))
}

/// What to say of a needed tensor in a dtype that is not read.
pub(super) fn unread_dtype(dtype: Dtype) -> String {
    format!("is stored as {dtype}; {} are read, save the model in one of them", Storage::list())
}
