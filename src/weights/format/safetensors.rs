//! The header of a safetensors file: names, dtypes, shapes and places of its tensors.
//!
//! The dtypes are those of the `safetensors` crate. Its reader is the oracle in tests and not used here: it buffers the
//! header as a tree, silently keeps the last of two equal names, and most of its errors do not name the tensor.

use std::fmt;
use std::ops::Range;

use safetensors::Dtype;
use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};

use super::header::{Declared, Entry, Header};
use crate::error::{Error, Result};
use crate::weights::file::data::DataFile;
use crate::weights::storage::Storage;
use crate::weights::text::shown;

/// The longest header that is read, in bytes: the format's own limit.
const MAX_HEADER: u64 = 100_000_000;
/// Bytes before the header: its length, little-endian.
const PREFIX: u64 = 8;
/// More axes than any tensor has; a longer list is an attack on memory.
const MAX_AXES: usize = 16;

/// The storage type of this name and the bits of one element.
fn parse(name: &str) -> Option<(Declared, u64)> {
    let dtype = Dtype::deserialize(IntoDeserializer::<serde::de::value::Error>::into_deserializer(name)).ok()?;
    let declared = match Storage::of_safetensors(dtype) {
        Some(storage) => Declared::Known(storage),
        None => Declared::Unread(dtype.to_string().into()),
    };
    Some((declared, dtype.bitsize() as u64))
}

/// The header's bytes, prefix included; checks its length before anything is allocated for it.
fn bytes(file: &DataFile) -> Result<Vec<u8>> {
    let (path, len) = (file.path(), file.len());
    let start = file.read(0..len.min(PREFIX))?;
    let prefix = start.first_chunk::<8>().ok_or_else(|| {
        Error::file(path, format!("is {len} bytes long, too short for a safetensors file; fetch it again"))
    })?;
    let header = u64::from_le_bytes(*prefix);
    if header > MAX_HEADER {
        let why =
            format!("claims a header of {header} bytes, the format allows {MAX_HEADER}; is it a safetensors file?");
        return Err(Error::file(path, why));
    }
    if PREFIX + header > len {
        let why = format!("is cut short: its header ends at byte {}, the file at byte {len}", PREFIX + header);
        return Err(Error::file(path, format!("{why}; fetch it again")));
    }
    file.read(0..PREFIX + header)
}

/// The tensors of a file in the order of their bytes, checked: every tensor inside the file, of the size that dtype and
/// shape say, none overlapping, no byte left over.
pub(crate) fn header(file: &DataFile) -> Result<Header> {
    let header = bytes(file)?;
    let path = file.path();
    let text = std::str::from_utf8(&header[PREFIX as usize..])
        .map_err(|e| Error::file(path, format!("its header is not UTF-8 ({e}); is it a safetensors file?")))?;
    if !text.starts_with('{') {
        return Err(Error::file(path, "its header is not a JSON object; is it a safetensors file?"));
    }

    let mut current = None;
    let mut json = serde_json::Deserializer::from_str(text);
    let raw = Object { current: &mut current }.deserialize(&mut json).and_then(|raw| json.end().map(|()| raw));
    let raw = raw.map_err(|e| Error::Checkpoint {
        file: path.to_owned(),
        tensor: current.map(|name| shown(&name)),
        why: format!("the file's header cannot be read: {}", shown(&e.to_string())),
    })?;

    let data_start = header.len() as u64;
    let data_len = file.len() - data_start;
    let mut entries = Vec::with_capacity(raw.len());
    for (name, raw) in raw {
        let fail = |why: String| Error::tensor(path, &shown(&name), why);
        let (storage, bits) = parse(&raw.dtype).ok_or_else(|| {
            fail(format!("its dtype {} is not known; {} are read", shown(&raw.dtype), Storage::list()))
        })?;
        let dims = raw.shape.0;
        let (start, end) = raw.data_offsets;
        let size = dims
            .iter()
            .try_fold(1_u64, |product, &dim| product.checked_mul(dim))
            .and_then(|numbers| numbers.checked_mul(bits))
            .ok_or_else(|| fail(format!("its shape {dims:?} overflows")))?;
        if start > end {
            return Err(fail(format!("its bytes end ({end}) before they start ({start})")));
        }
        if end > data_len {
            let why = format!("its bytes {start}..{end} are outside the file's {data_len} bytes of data");
            return Err(fail(format!("{why}: the file is cut short or damaged, fetch it again")));
        }
        if !size.is_multiple_of(8) || size / 8 != end - start {
            let (given, takes) = (end - start, size.div_ceil(8));
            return Err(fail(format!("{storage} {dims:?} takes {takes} bytes, the header gives it {given}")));
        }
        let too_large = |_| fail("is larger than the address space".into());
        let range = Range {
            start: usize::try_from(data_start + start).map_err(too_large)?,
            end: usize::try_from(data_start + end).map_err(too_large)?,
        };
        // Every axis is at most the byte count of a tensor that is inside the file, or another axis is zero.
        let dims = dims.into_iter().map(usize::try_from).collect::<std::result::Result<_, _>>().map_err(too_large)?;
        entries.push((name, Entry { storage, dims, range }));
    }
    check_cover(file, data_start as usize, &mut entries)?;
    Ok(Header { bytes: header, tensors: entries })
}

/// Sorts the tensors by place and checks that they cover the data without hole or overlap, each name once.
fn check_cover(file: &DataFile, data_start: usize, entries: &mut [(String, Entry)]) -> Result<()> {
    let path = file.path();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(Error::tensor(path, &shown(&pair[0].0), "is in the file's header twice"));
    }
    entries.sort_by_key(|(_, entry)| (entry.range.start, entry.range.end));
    let mut covered = data_start;
    for (name, entry) in entries.iter() {
        if entry.range.start < covered {
            return Err(Error::tensor(path, &shown(name), "its bytes overlap those of another tensor"));
        }
        if entry.range.start > covered {
            let hole = entry.range.start - covered;
            return Err(Error::tensor(path, &shown(name), format!("{hole} bytes before it belong to no tensor")));
        }
        covered = entry.range.end;
    }
    match file.len() - covered as u64 {
        0 => Ok(()),
        rest => Err(Error::file(path, format!("its last {rest} bytes belong to no tensor"))),
    }
}

/// What the header says of one tensor.
#[derive(Deserialize)]
struct Raw {
    dtype: String,
    shape: Axes,
    data_offsets: (u64, u64),
}

/// A list of at most [`MAX_AXES`] lengths, refused while it is being read.
struct Axes(Vec<u64>);

impl<'de> Deserialize<'de> for Axes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Axes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of axis lengths")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<Axes, A::Error> {
                let mut axes = Vec::new();
                while let Some(axis) = list.next_element()? {
                    if axes.len() == MAX_AXES {
                        return Err(A::Error::custom(format!("a shape of more than {MAX_AXES} axes")));
                    }
                    axes.push(axis);
                }
                Ok(Axes(axes))
            }
        }
        deserializer.deserialize_seq(List)
    }
}

/// Reads the header's object in order and keeps every entry, so that a name that comes twice is seen. Leaves in
/// `current` the tensor at which reading stopped.
struct Object<'a> {
    current: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Object<'_> {
    type Value = Vec<(String, Raw)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Object<'_> {
    type Value = Vec<(String, Raw)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object from tensor names to dtype, shape and data_offsets")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            *self.current = Some(name);
            let raw = map.next_value()?;
            entries.extend(self.current.take().map(|name| (name, raw)));
        }
        Ok(entries)
    }
}
