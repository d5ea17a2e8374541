//! Compiles `shaders/*.comp` to `shaders/spv/*.spv` and writes `shaders/manifest.txt`.
//!
//! With `--check` nothing is written: the program fails if what it makes differs from what is there.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use shaderc::{CompileOptions, Compiler, EnvVersion, OptimizationLevel, ResolvedInclude, ShaderKind, TargetEnv};
use zoetrope_shaders::{binary, folder, manifest, misfits, sources};

/// Stands in the manifest; the crate's version settles that of the compiler in it.
const COMPILER: &str = "shaderc crate 0.10.1, built from source";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => run(&folder(), false),
        ["--check"] => run(&folder(), true),
        _ => Err("usage: shaders [--check]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &Path, check: bool) -> Result<(), Box<dyn Error>> {
    let compiler = Compiler::new()?;
    let mut differing = Vec::new();
    for source in sources(folder)? {
        let bytes = compile(&compiler, folder, &source)?;
        let path = binary(folder, &source);
        if !check {
            fs::write(path, bytes)?;
        } else if fs::read(path).ok() != Some(bytes) {
            differing.push(format!("{source}: compiles to other bytes"));
        }
    }
    if check {
        differing.extend(misfits(folder)?);
    } else {
        fs::write(folder.join("manifest.txt"), manifest(folder, COMPILER)?)?;
    }
    if differing.is_empty() { Ok(()) } else { Err(differing.join("\n").into()) }
}

fn compile(compiler: &Compiler, folder: &Path, source: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut options = CompileOptions::new()?;
    options.set_target_env(TargetEnv::Vulkan, EnvVersion::Vulkan1_2 as u32);
    options.set_optimization_level(OptimizationLevel::Performance);
    options.set_warnings_as_errors();
    let root = folder.to_owned();
    options.set_include_callback(move |name, _, _, _| {
        let content = fs::read_to_string(root.join(name)).map_err(|why| format!("{name}: {why}"))?;
        Ok(ResolvedInclude { resolved_name: name.to_owned(), content })
    });
    let text = fs::read_to_string(folder.join(source))?;
    // The bare name: a path would be another one elsewhere.
    let made = compiler.compile_into_spirv(&text, ShaderKind::Compute, source, "main", Some(&options))?;
    Ok(made.as_binary_u8().to_vec())
}
