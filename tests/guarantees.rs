//! Guarantees of the library: what it never does to the process that it is part of.

mod checkpoints;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpoints::Copy;
use zoetrope::models::{umt5, wan, wan_vae};
use zoetrope::video::{self, FrameSink, SinkOptions};
use zoetrope::weights::{Bytes, Checkpoint, Mapping, Weight, Weights};
use zoetrope::{
    Cancel, Defaults, Device, DeviceOptions, Error, LatentsFile, Pipeline, Progress, Prompt, Request, Steps, Tensor,
};

/// What is called to print, to end the process, to take its signals, to read its environment or to set up rayon's
/// global pool.
const NEVER: [&str; 13] = [
    "println!",
    "print!",
    "dbg!",
    "io::stdout",
    "io::stderr",
    "process::exit",
    "process::abort",
    "ctrlc",
    "sigaction",
    "signal(",
    "env::",
    "build_global",
    "libc::",
];

/// The one exception: the variable that the crate's front page names.
const DOCUMENTED: (&str, &str) = ("kernels/src/exec.rs", "std::env::var_os(VARIABLE)");

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

#[test]
fn the_sources_call_nothing_that_a_guest_does_not_call() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in ["src", "kernels/src"] {
        sources(&root.join(folder), &mut files);
    }
    assert!(files.len() > 50, "{}", files.len());
    let mut exceptions = 0;
    for path in files {
        let name = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        let text = fs::read_to_string(&path).unwrap();
        // Tests stand at the end of a file, and print as they like.
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            if name == DOCUMENTED.0 && line.contains(DOCUMENTED.1) {
                exceptions += 1;
                continue;
            }
            let called = NEVER.iter().find(|never| line.contains(**never));
            assert!(called.is_none(), "{name}: {line}");
        }
    }
    assert_eq!(exceptions, 1);
}

/// Runs [`a_run`] in a process of its own and looks at what came out of it.
#[test]
fn a_run_is_silent() {
    let arguments = ["a_run", "--exact", "--ignored", "--nocapture", "--test-threads=1"];
    let child = Command::new(std::env::current_exe().unwrap()).args(arguments).output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success(), "{out}{error}");
    assert_eq!(error, "");
    assert!(out.trim_start().starts_with("running 1 test\ntest a_run ... ok\n\ntest result: ok. 1 passed"), "{out}");
}

#[test]
#[ignore = "a_run_is_silent runs it, in a process of its own"]
fn a_run() {
    let handlers = handled_signals();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    pool.install(generate_into_every_format);
    assert_eq!(handled_signals(), handlers);
    // Nobody has built it yet, so it is ours to build.
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global().unwrap();
}

/// Which signals have handlers, where the system says so.
fn handled_signals() -> Option<String> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find(|line| line.starts_with("SigCgt:")).map(str::to_owned)
}

fn generate_into_every_format() {
    let folder = Copy::of("b");
    let pipeline = Pipeline::open(&folder.0, Mapping::Map).unwrap();
    let device = Device::cpu().unwrap();
    let request = short(&pipeline);
    for format in video::formats() {
        let output = if format == "-" { format.into() } else { folder.0.join(format!("out{format}")) };
        let options = SinkOptions { stdout: Some(Box::new(std::io::sink())), ..SinkOptions::default() };
        let mut sink = video::open(&output, options).unwrap();
        pipeline.generate(&device, &request, &mut *sink, &mut |_| {}).unwrap();
        assert!(format == "-" || output.exists(), "{format}");
    }
    // Failing is no reason to talk either.
    fs::write(folder.file("vae/config.json"), "{").unwrap();
    assert!(Pipeline::open(&folder.0, Mapping::Map).is_err());
    device.cancel().cancel();
    assert!(matches!(pipeline.sample(&device, &request, &mut |_| {}), Err(Error::Cancelled)));
}

/// Two steps of a tiny clip.
fn short(pipeline: &Pipeline) -> Request {
    let steps = Steps::Schedule { schedule: Default::default(), steps: 2, shift: None };
    let text = if cfg!(feature = "tokenizer") { Prompt::from("boats") } else { Prompt::Tokens(vec![5, 9, 1]) };
    Request { width: 80, height: 48, frames: 5, steps, ..pipeline.request(text) }
}

#[test]
fn everything_goes_between_threads() {
    fn both<T: Send + Sync>() {}
    fn send<T: Send + ?Sized>() {}
    both::<(Pipeline, Checkpoint, Weights, Weight, Bytes)>();
    both::<(umt5::Encoder, wan::Transformer, wan_vae::Decoder)>();
    both::<(Device, DeviceOptions, Cancel, Tensor)>();
    both::<(Request, Prompt, Defaults, Progress, Error)>();
    send::<Box<dyn FrameSink>>();
    send::<LatentsFile>();
}

/// Two requests at once, from two threads on one pipeline: each gives the bits that it gives alone, and the files are
/// mapped once.
#[test]
fn requests_at_once_share_one_map() {
    let folder = Copy::of("b");
    let pipeline = Pipeline::open(&folder.0, Mapping::Map).unwrap();
    let requests = [1, 2].map(|seed| Request { seed, ..short(&pipeline) });
    let weights = folder.file("transformer/diffusion_pytorch_model.safetensors");
    let expected = usize::from(cfg!(target_os = "linux"));
    let run = |request: &Request| {
        let counted = &mut |_| assert_eq!(maps_of(&weights), expected);
        let latents = pipeline.sample(&Device::cpu().unwrap(), request, counted).unwrap();
        latents.values().unwrap().iter().map(|value| value.to_bits()).collect::<Vec<_>>()
    };
    let alone = requests.each_ref().map(run);
    assert_ne!(alone[0], alone[1]);
    for _ in 0..5 {
        let together: Vec<_> = std::thread::scope(|scope| {
            let threads = requests.each_ref().map(|request| scope.spawn(|| run(request)));
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(together == alone);
    }
}

/// How often a file is mapped into this process; 0 where the system does not say.
fn maps_of(file: &Path) -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines().filter(|line| line.ends_with(&*file.to_string_lossy())).count()
}
