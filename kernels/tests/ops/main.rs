//! Every kernel against the f64 loops of `tests/common`: every case, every instruction set that this machine has, and the
//! same bits on one, two and three threads.

#[path = "../../../tests/common/mod.rs"]
mod common;
mod heavy;
mod layout;
mod oracle;
mod random;
mod rows;

use std::fmt::Debug;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use rayon::{ThreadPool, ThreadPoolBuilder};
use zoetrope_kernels::{Activation, Exec, Level, LevelError, Stored};

use common::compare::{Limit, agree_by_row};
use common::data::{Storage, Weight};
use common::reference::Act;

static NEVER: AtomicBool = AtomicBool::new(false);

static POOLS: LazyLock<[ThreadPool; 3]> =
    LazyLock::new(|| [1, 2, 3].map(|n| ThreadPoolBuilder::new().num_threads(n).build().expect("a pool of threads")));

/// Runs a kernel at every level on every pool; rows of `width` must agree with `want`, and the pools with each other.
fn judge(case: &dyn Debug, want: &[f64], width: usize, limit: Limit, run: impl Fn(Exec) -> Vec<f32> + Sync) {
    for level in levels() {
        let exec = Exec { level, stop: &NEVER };
        let [one, others @ ..] = POOLS.each_ref().map(|pool| pool.install(|| run(exec)));
        if let Err(why) = agree_by_row(&one, want, width, limit) {
            panic!("{case:?}, {level:?}: {why}");
        }
        for (threads, other) in (2..).zip(others) {
            let differs = one.iter().zip(&other).position(|(a, b)| a.to_bits() != b.to_bits());
            assert_eq!(differs, None, "{case:?}, {level:?}: {threads} threads give other bits than one, first at");
        }
    }
}

fn levels() -> Vec<Level> {
    Level::available().to_vec()
}

/// x after a kernel has worked on it in place.
fn in_place(x: &[f32], run: impl FnOnce(&mut [f32])) -> Vec<f32> {
    let mut x = x.to_vec();
    run(&mut x);
    x
}

/// What a kernel has written into a buffer that held NaN.
fn into(len: usize, run: impl FnOnce(&mut [f32])) -> Vec<f32> {
    in_place(&vec![f32::NAN; len], run)
}

fn stored(weight: &Weight) -> Stored<'_> {
    match weight.storage() {
        Storage::F32 => Stored::F32(weight.bytes()),
        Storage::F16 => Stored::F16(weight.bytes()),
        Storage::BF16 => Stored::BF16(weight.bytes()),
    }
}

fn activation(act: Act) -> Activation {
    match act {
        Act::None => Activation::None,
        Act::Silu => Activation::Silu,
        Act::GeluTanh => Activation::GeluTanh,
    }
}

/// `.ci/qemu.sh` runs the tests on an emulated processor without AVX2, and says so in `ZOETROPE_TEST_LEVELS`.
#[test]
fn levels_are_those_of_the_processor() {
    let levels = levels();
    assert!(levels.contains(&Level::Portable), "{levels:?}");
    if std::env::var("ZOETROPE_TEST_LEVELS").is_ok_and(|wanted| wanted == "portable") {
        assert_eq!(levels, [Level::Portable]);
        if std::env::var("ZOETROPE_SIMD").is_ok_and(|forced| forced == "avx2") {
            assert_eq!(Level::detect(), Err(LevelError::Unavailable(Level::Avx2)));
        }
    }
}

/// The sources' hash as its documentation describes it, worked out anew.
#[test]
fn the_source_hash_is_that_of_the_sources() {
    fn walk(folder: &std::path::Path, files: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else {
                files.push(path);
            }
        }
    }
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    let name = |file: &std::path::PathBuf| file.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    let mut texts: Vec<_> = files.iter().map(|file| (name(file), std::fs::read(file).unwrap())).collect();
    texts.sort();
    assert!(texts.len() > 20 && texts.iter().all(|(name, _)| name.ends_with(".rs")));
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for (name, text) in texts {
        for byte in [name.as_bytes(), &[0], &text, &[0]].concat() {
            if byte != b'\r' {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            }
        }
    }
    assert_eq!(zoetrope_kernels::SOURCE_HASH, format!("{hash:016x}"));
}
