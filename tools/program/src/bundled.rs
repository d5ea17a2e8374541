//! The checkpoint inside the program.

use std::fs;
use std::path::Path;

use zoetrope::{Error, Pipeline, Result};
use zoetrope_bundled::{FILES, NAME, checkpoint};

/// Whether a `--model` argument or a recipe's checkpoint names it.
pub fn is(model: &Path) -> bool {
    model == Path::new(NAME)
}

/// Opens it; nothing is copied.
///
/// # Errors
/// Those of [`Pipeline::from_checkpoint`].
pub fn open() -> Result<Pipeline> {
    Pipeline::from_checkpoint(checkpoint()?)
}

/// Writes it as a folder, which gets its name when it is complete.
///
/// # Errors
/// [`Error::Request`] if `folder` is there already; [`Error::Io`].
pub fn export(folder: &Path) -> Result<()> {
    let io = |doing: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    };
    match fs::symlink_metadata(folder) {
        Ok(_) => {
            let why = format!("{} exists already; choose another name", folder.display());
            return Err(Error::Request { what: "export-bundled", why });
        }
        // A name that the system does not take is refused before the hidden folder gets another one.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("create", folder)(error)),
        Err(_) => {}
    }
    // Beside the target, so that the rename stays within one file system; its name says nothing of the target's, which may
    // be as long as names can be.
    let partial = folder.with_file_name(format!(".zoetrope-export.partial-{}", std::process::id()));
    let write = || {
        fs::create_dir(&partial).map_err(io("create", folder))?;
        for (path, bytes) in FILES {
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
