//! Choosing a device. What needs a GPU runs where there is one, a software driver too.
#![cfg(feature = "vulkan")]

mod common;

use common::{Scratch, command, fails, fixtures, generate, succeeds, text, tiny};

/// The line of the first GPU of `--list-devices`, if there is one.
fn gpu() -> Option<String> {
    let output = generate(&["--list-devices"]);
    succeeds(&output);
    let listed = text(&output.stdout);
    assert!(listed.starts_with("cpu       the processor: "), "{listed}");
    listed.lines().find(|line| line.starts_with("vulkan:")).map(str::to_owned)
}

/// The binary on a machine whose Vulkan has no driver.
fn without_driver(arguments: &[&str]) -> std::process::Output {
    let none = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].map(|name| (name, "/dev/null/nowhere.json"));
    command().envs(none).args(arguments).output().expect("the binary runs")
}

#[test]
fn without_a_gpu_auto_is_the_processor_and_a_name_is_an_error() {
    let listed = without_driver(&["--list-devices"]);
    succeeds(&listed);
    assert!(text(&listed.stdout).contains("no GPU"), "{}", text(&listed.stdout));

    let scratch = Scratch::new();
    let model = fixtures().join("checkpoints/b");
    let model = model.to_str().expect("a unicode path");
    let path = scratch.path("a.y4m");
    let run = ["-m", model, "--size", "80x48", "--frames", "5", "-t", "3", "-s", "7", "-o", &path, "a cat"];
    let output = without_driver(&run);
    succeeds(&output);
    assert!(text(&output.stderr).contains("no GPU: computing on cpu"), "{}", text(&output.stderr));
    for (device, said) in [("vulkan", "install"), ("vulkan:7", "install"), ("radeon", "install")] {
        fails(&without_driver(&[&run[..], &["--force", "--device", device]].concat()), 2, &[said]);
    }
    fails(&without_driver(&["--self-test", "--device", "vulkan"]), 2, &["install"]);
    fails(&tiny(&["-o", &path, "--device", "vulkan:x", "a cat"]), 2, &["vulkan:N"]);
}

/// One test, as a software driver compiles its shaders anew in every process, which takes most of a run.
#[test]
fn a_gpu_by_its_name_makes_the_same_video_by_its_recipe() {
    let Some(line) = gpu() else { return };
    let name = line[9..].split(';').next().expect("a name").trim();
    let part = name.split([' ', '(']).next().expect("a word");
    let scratch = Scratch::new();
    let [first, second] = ["1.png", "2.png"].map(|name| scratch.path(name));
    let output = tiny(&["--device", &part.to_uppercase(), "-o", &first, "a cat"]);
    succeeds(&output);
    assert!(text(&output.stderr).contains("computing on vulkan"), "{}", text(&output.stderr));
    let recipe = text(&generate(&["--show-recipe", &first]).stdout);
    assert!(recipe.contains("\"vulkan ") && recipe.contains(name), "{recipe}\n{line}");
    // What decides the bits beside the GPU's name: the precision in use and the build.
    let half = text(&output.stderr).contains("half precision");
    let precision = format!("\"precision\": \"{}\"", if half { "half" } else { "full" });
    assert!(recipe.contains(&precision) && recipe.contains("\"build\": \""), "{recipe}");
    // The recipe leads to the same device, a software driver too.
    let model = fixtures().join("checkpoints/b");
    succeeds(&generate(&["-m", model.to_str().expect("unicode"), "--recipe", &first, "-o", &second]));
    let read = |path: &str| std::fs::read(path).expect("a video");
    assert!(read(&first) == read(&second));
    fails(&tiny(&["--device", "no such thing", "-o", &first, "--force", "a cat"]), 2, &["no such thing", name]);
}
