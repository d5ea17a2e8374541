//! Hashes the crate's sources, so that results can say which kernels made them.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it")).join("src");
    let mut files = Vec::new();
    collect(&root, "", &mut files);
    // By name, not in the order of the file system.
    files.sort();
    let mut hash = FNV_OFFSET;
    for name in &files {
        let text = fs::read(root.join(name)).unwrap_or_else(|error| panic!("src/{name}: {error}"));
        // A zero ends each part, so that a name and a text cannot run into each other.
        let parts = name.bytes().chain([0]).chain(text).chain([0]);
        // Line ends depend on how the sources were checked out.
        hash = parts
            .filter(|&byte| byte != b'\r')
            .fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(FNV_PRIME));
    }
    println!("cargo::rustc-env=ZOETROPE_KERNELS_SOURCE_HASH={hash:016x}");
}

/// FNV-1a with 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0100_0000_01b3;

/// The Rust files below a folder, as paths with slashes.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).expect("the sources can be listed") {
        let path = entry.expect("the sources can be listed").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("sources have plain names");
        if path.is_dir() {
            collect(&path, &format!("{prefix}{name}/"), files);
        } else if name.ends_with(".rs") {
            files.push(format!("{prefix}{name}"));
        }
    }
}
