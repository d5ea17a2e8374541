//! Choosing a device. What needs a GPU runs where there is one, a software driver too.
#![cfg(feature = "vulkan")]

mod common;

use common::{Scratch, command, fails, fixtures, generate, succeeds, text, tiny};

/// The first device of `--list-devices` that is not the processor, if there is one: `vulkan:N` and its line.
fn gpu() -> Option<(String, String)> {
    let output = generate(&["--list-devices"]);
    succeeds(&output);
    let listed = text(&output.stdout);
    assert!(listed.starts_with("cpu       the processor: "), "{listed}");
    let line = listed.lines().find(|line| line.starts_with("vulkan:"))?;
    Some((line.split(' ').next().expect("a word").to_owned(), line.to_owned()))
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

#[test]
fn a_gpu_makes_the_same_video_twice_and_its_recipe_says_so() {
    let Some((device, line)) = gpu() else { return };
    let scratch = Scratch::new();
    let [first, second, third] = ["1.png", "2.png", "3.png"].map(|name| scratch.path(name));
    succeeds(&tiny(&["--device", &device, "-o", &first, "a cat"]));
    let recipe = text(&generate(&["--show-recipe", &first]).stdout);
    let name = line[9..].split(';').next().expect("a name").trim();
    assert!(recipe.contains("\"vulkan ") && recipe.contains(name), "{recipe}\n{line}");
    succeeds(&tiny(&["--device", &device, "-o", &second, "a cat"]));
    // The recipe leads to the same device, a software driver too.
    let model = fixtures().join("checkpoints/b");
    succeeds(&generate(&["-m", model.to_str().expect("unicode"), "--recipe", &first, "-o", &third]));
    let read = |path: &str| std::fs::read(path).expect("a video");
    assert!(read(&first) == read(&second) && read(&first) == read(&third));
}

#[test]
fn what_a_gpu_is_asked_for_by_name_is_taken() {
    let Some((device, line)) = gpu() else { return };
    let name = line[9..].split([';', ' ', '(']).find(|word| !word.is_empty()).expect("a name");
    let scratch = Scratch::new();
    let path = scratch.path("a.y4m");
    let output = tiny(&["--device", &name.to_uppercase(), "-o", &path, "a cat"]);
    succeeds(&output);
    assert!(text(&output.stderr).contains("computing on vulkan"), "{device}: {}", text(&output.stderr));
    fails(&tiny(&["--device", "no such thing", "-o", &path, "a cat"]), 2, &["no such thing", name]);
}
