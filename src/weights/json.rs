//! JSON files of a checkpoint: small, of limited size, with errors that name the key.

use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::file::data::read_regular;
use super::format::sniff::mistaken_for_json;
use super::text::shown;
use crate::error::{Error, Result};

/// Configurations are a few kilobytes.
pub(crate) const MAX_CONFIG: u64 = 1 << 20;
/// An index has a line of some hundred bytes for each tensor.
pub(crate) const MAX_INDEX: u64 = 10 << 20;

/// A file's bytes as text.
fn text<'a>(bytes: &'a [u8], path: &Path) -> Result<&'a str> {
    if bytes.is_empty() {
        return Err(Error::file(path, "is empty"));
    }
    if let Some(why) = mistaken_for_json(bytes) {
        return Err(Error::file(path, why));
    }
    str::from_utf8(bytes).map_err(|e| Error::file(path, format!("is not UTF-8: {e}")))
}

fn not_json(path: &Path) -> impl FnOnce(serde_json::Error) -> Error {
    move |e| Error::file(path, format!("is not the JSON that is expected: {}", shown(&e.to_string())))
}

/// An object of a configuration file on disk.
pub(crate) fn read_object(path: &Path) -> Result<Map<String, Value>> {
    object(&read_regular(path, MAX_CONFIG)?, path)
}

/// An object from the bytes of a configuration file.
pub(crate) fn object(bytes: &[u8], path: &Path) -> Result<Map<String, Value>> {
    match serde_json::from_str(text(bytes, path)?).map_err(not_json(path))? {
        Value::Object(object) => Ok(object),
        _ => Err(Error::file(path, "is not a JSON object")),
    }
}

/// A configuration on disk.
pub(crate) fn read_config<T: DeserializeOwned>(path: &Path) -> Result<T> {
    config(read_object(path)?, path)
}

/// A configuration. Its type must have a default for every key: that is how the key at fault is found.
pub(crate) fn config<T: DeserializeOwned>(object: Map<String, Value>, path: &Path) -> Result<T> {
    T::deserialize(&Value::Object(object.clone())).map_err(|whole| {
        for (key, value) in object {
            let alone = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
            if let Err(e) = T::deserialize(&alone) {
                return Error::config(
                    path,
                    &shown(&key),
                    format!("{}, found {}", shown(&e.to_string()), short(&value)),
                );
            }
        }
        not_json(path)(whole)
    })
}

/// An index of shards.
pub(crate) fn index<T: DeserializeOwned>(bytes: &[u8], path: &Path) -> Result<T> {
    serde_json::from_str(text(bytes, path)?).map_err(not_json(path))
}

/// A value as a message shows it.
pub(crate) fn short(value: &Value) -> String {
    shown(&value.to_string())
}

/// An object from strings to strings in its order, with names that come twice kept for the caller to see.
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from tensor names to file names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Object)
    }
}
