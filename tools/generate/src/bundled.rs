//! The checkpoint in this program.

use std::fs;
use std::path::Path;

use zoetrope::weights::Checkpoint;
use zoetrope::{Error, Pipeline, Result};

/// Opens it; nothing is copied.
pub fn open() -> Result<Pipeline> {
    Pipeline::from_checkpoint(Checkpoint::from_memory(zoetrope_bundled::NAME, zoetrope_bundled::FILES.iter().copied())?)
}

/// Writes it as a folder, which gets its name when it is complete.
pub fn export(folder: &Path) -> Result<()> {
    let io = |doing: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    };
    if fs::symlink_metadata(folder).is_ok() {
        let why = format!("{} exists already; choose another name", folder.display());
        return Err(Error::Request { what: "export-bundled", why });
    }
    let mut name = std::ffi::OsString::from(".");
    name.push(folder.file_name().unwrap_or_default());
    name.push(format!(".partial-{}", std::process::id()));
    let partial = folder.with_file_name(name);
    let write = || {
        fs::create_dir(&partial).map_err(io("create", &partial))?;
        for (path, bytes) in zoetrope_bundled::FILES {
            let path = partial.join(path);
            let parent = path.parent().unwrap_or(&partial);
            fs::create_dir_all(parent).map_err(io("create", parent))?;
            fs::write(&path, bytes).map_err(io("write", &path))?;
        }
        fs::rename(&partial, folder).map_err(io("create", folder))
    };
    write().inspect_err(|_| {
        // Nothing half-written stays.
        let _ = fs::remove_dir_all(&partial);
    })
}
