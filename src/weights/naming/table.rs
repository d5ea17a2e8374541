//! Name tables: which tensors a model has, under which names and in which shapes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::recognise;
use crate::error::{Error, Result};
use crate::tensor::shape::Shape;
use crate::weights::component::Component;
use crate::weights::format::header::{Declared, unread};
use crate::weights::text::shown;
use crate::weights::warning::Warning;

/// The tensors that a model of a given configuration has.
///
/// Built from a configuration that has been validated; a checkpoint's tensors are checked against it when a component is
/// opened. Its names are those of diffusers and transformers.
#[derive(Clone, Debug)]
pub struct NameTable {
    model: &'static str,
    tensors: BTreeMap<String, Expected>,
    ignored: Vec<&'static str>,
    lists: Vec<List>,
    unsupported: Vec<Unsupported>,
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

/// A part that models of this class may have and this engine does not.
#[derive(Clone, Debug)]
struct Unsupported {
    part: &'static str,
    marks: &'static [&'static str],
    keys: Vec<&'static str>,
}

impl NameTable {
    /// An empty table for the class of this name.
    pub fn new(model: &'static str) -> Self {
        Self { model, tensors: BTreeMap::new(), ignored: Vec::new(), lists: Vec::new(), unsupported: Vec::new() }
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

    /// Ignores tensors whose names start with `prefix`, without a warning: parts of the file that are not needed, such as
    /// a VAE's encoder for decoding.
    pub fn ignore(&mut self, prefix: &'static str) {
        self.ignored.push(prefix);
    }

    /// Declares a list of parts named `prefix` + number, with numbers up to `count - 1`; the configuration's `key` says so.
    pub fn list(&mut self, prefix: impl Into<String>, count: usize, key: &'static str) {
        self.lists.push(List { prefix: prefix.into(), count, key });
    }

    /// Declares a part that is not supported: its tensors have one of `marks` in their names, and `keys` of the
    /// configuration name it. The tensors decide: if there are any, the checkpoint is refused; if there are none, `keys`
    /// are a warning.
    pub fn unsupported(&mut self, part: &'static str, marks: &'static [&'static str], keys: Vec<&'static str>) {
        self.unsupported.push(Unsupported { part, marks, keys });
    }

    /// Names and shapes, sorted by name.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, Shape)> {
        self.tensors.iter().map(|(name, expected)| (name.as_str(), expected.shape))
    }

    /// Checks the component's tensors against the table: what is missing, misshapen, of a storage type that is not read,
    /// of a part that is not supported or numbered past the configuration is an error, what is left over one warning.
    /// Returns the names under which tensors are stored, where those are not the table's.
    pub(in crate::weights) fn check(&self, component: &Component) -> Result<(HashMap<String, String>, Vec<Warning>)> {
        let mut stored_names = HashMap::new();
        let mut missing = Vec::new();
        for (name, expected) in self.tensors.iter().filter(|(name, _)| !component.has(name)) {
            match expected.alias.filter(|alias| component.has(alias)) {
                Some(alias) => drop(stored_names.insert(name.clone(), alias.to_owned())),
                None => missing.push((name, expected.shape)),
            }
        }
        // With this much missing the file is of something else: nothing more can be said of the rest.
        if 2 * missing.len() > self.tensors.len() {
            let instead = recognise::instead_of(self.model, component.names());
            return Err(self.missing(component, &missing, &format!("; {instead}")));
        }
        let mut warnings = self.check_supported(component)?;
        warnings.extend(self.extra(component)?);
        for (name, expected) in &self.tensors {
            let stored = stored_names.get(name).unwrap_or(name);
            let Some((file, dims, storage)) = component.describe(stored) else { continue };
            let fits = if expected.exact { dims == expected.shape.dims() } else { same_but_ones(dims, expected.shape) };
            if !fits {
                let why = format!(
                    "expected {}, found {dims:?}: config.json and weights do not belong together",
                    expected.shape
                );
                return Err(Error::tensor(file, stored, why));
            }
            if let Declared::Unread(other) = storage {
                return Err(Error::tensor(file, stored, unread(&other)));
            }
        }
        if missing.is_empty() { Ok((stored_names, warnings)) } else { Err(self.missing(component, &missing, "")) }
    }

    /// The error about tensors that are missing, of which there are some.
    fn missing(&self, component: &Component, missing: &[(&String, Shape)], more: &str) -> Error {
        let (name, shape) = missing[0];
        let others = match missing.len() - 1 {
            0 => String::new(),
            n => format!(", and so are {n} others"),
        };
        let why = format!("is missing ({} expects {shape}){others}{more}", self.model);
        Error::tensor(component.main(), name, why)
    }

    /// Refuses tensors of parts that are not supported; the warnings about keys that name such a part in vain.
    fn check_supported(&self, component: &Component) -> Result<Vec<Warning>> {
        let mut warnings = Vec::new();
        for Unsupported { part, marks, keys } in &self.unsupported {
            let of_part = |name: &&str| marks.iter().any(|mark| name.contains(mark));
            if let Some(name) = component.names().filter(of_part).min() {
                let file = component.describe(name).map_or(component.main(), |(file, ..)| file);
                let why = format!("belongs to {part}, which is not supported yet");
                return Err(Error::tensor(file, &shown(name), why));
            }
            if !keys.is_empty() {
                let file = component.main().to_owned();
                warnings.push(Warning::WithoutTensors { file, part, keys: keys.clone() });
            }
        }
        Ok(warnings)
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

/// Whether two shapes are equal apart from axes of length one.
pub(crate) fn same_but_ones(dims: &[usize], shape: Shape) -> bool {
    let long = |dim: &&usize| **dim != 1;
    dims.iter().filter(long).eq(shape.dims().iter().filter(long))
}
