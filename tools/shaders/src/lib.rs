//! The shaders in `shaders/` and what they are compiled to: their names, their manifest, and whether all belong together.
//!
//! The manifest is a text file. Its first lines say how the modules were made; then there is a line for each, with the name
//! of the source, the SHA-256 of the source with all that it includes, and that of the binary. Checking it takes no compiler.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use hmac_sha256::Hash;

/// The options that all modules are compiled with.
pub const OPTIONS: &str = "target-env=vulkan1.2 optimization=performance debug=none entry=main";

/// The most modules that there may be, and the most bytes of all of them.
pub const MOST: (usize, usize) = (40, 1 << 20);

/// The folder `shaders` of this repository.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shaders")
}

/// The names of all sources, `<stem>.comp`, in order.
///
/// # Errors
/// Those of reading the folder.
pub fn sources(folder: &Path) -> io::Result<Vec<String>> {
    names(folder, ".comp")
}

/// Where the binary of a source is.
pub fn binary(folder: &Path, source: &str) -> PathBuf {
    folder.join("spv").join(source.replace(".comp", ".spv"))
}

fn names(folder: &Path, ending: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(ending) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// The SHA-256 of a source, of all that it includes and of the options, in hexadecimal.
///
/// # Errors
/// Those of reading the files.
pub fn source_hash(folder: &Path, source: &str) -> io::Result<String> {
    let mut hash = Hash::new();
    hash.update(OPTIONS);
    let mut seen = BTreeSet::new();
    let mut waiting = vec![source.to_owned()];
    while let Some(name) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        let text = fs::read_to_string(folder.join(&name))?;
        // Names and lengths too, so that text cannot move from one file to the next unseen.
        hash.update(format!("\n{name} {}\n", text.len()));
        hash.update(&text);
        let included = text.lines().filter_map(|line| line.trim().strip_prefix("#include \"")?.split('"').next());
        waiting.extend(included.map(str::to_owned));
    }
    Ok(hexadecimal(&hash.finalize()))
}

/// The manifest of what lies in the folder, made by `compiler`.
///
/// # Errors
/// Those of reading the files.
pub fn manifest(folder: &Path, compiler: &str) -> io::Result<String> {
    let mut text = format!(
        "# compiler: {compiler}\n# options: {OPTIONS}\n# source, SHA-256 with includes, SHA-256 of the binary\n"
    );
    for source in sources(folder)? {
        let binary = hexadecimal(&Hash::hash(&fs::read(binary(folder, &source))?));
        writeln!(text, "{source} {} {binary}", source_hash(folder, &source)?).expect("a string takes all text");
    }
    Ok(text)
}

/// What does not belong together: nothing if sources, binaries and manifest do, and nothing is left over.
///
/// # Errors
/// Those of reading the folder or the manifest.
pub fn misfits(folder: &Path) -> io::Result<Vec<String>> {
    let mut misfits = Vec::new();
    let manifest = fs::read_to_string(folder.join("manifest.txt"))?;
    if !manifest.contains(&format!("# options: {OPTIONS}\n")) {
        misfits.push("manifest.txt: other options".to_owned());
    }
    let mut listed = BTreeSet::new();
    for line in manifest.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(' ').collect();
        let [source, of_source, of_binary] = fields[..] else {
            misfits.push(format!("manifest.txt: `{line}` is no source and two hashes"));
            continue;
        };
        listed.insert(source.to_owned());
        match source_hash(folder, source) {
            Ok(hash) if hash == of_source => {}
            Ok(_) => misfits.push(format!("{source}: changed since it was compiled")),
            Err(why) => misfits.push(format!("{source}: {why}")),
        }
        match fs::read(binary(folder, source)) {
            Ok(bytes) if hexadecimal(&Hash::hash(&bytes)) == of_binary => {}
            Ok(_) => misfits.push(format!("{source}: the binary is another one")),
            Err(why) => misfits.push(format!("{source}: its binary: {why}")),
        }
    }
    let sources: BTreeSet<_> = sources(folder)?.into_iter().collect();
    misfits.extend(sources.difference(&listed).map(|source| format!("{source}: not in manifest.txt")));
    let mut bytes = 0;
    let binaries = names(&folder.join("spv"), ".spv")?;
    for binary in &binaries {
        if !sources.contains(&binary.replace(".spv", ".comp")) {
            misfits.push(format!("spv/{binary}: has no source"));
        }
        bytes += fs::metadata(folder.join("spv").join(binary))?.len() as usize;
    }
    if binaries.len() > MOST.0 || bytes > MOST.1 {
        misfits.push(format!("{} modules of {bytes} bytes, more than {MOST:?}", binaries.len()));
    }
    Ok(misfits)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
