//! A video says how it was made, and can be made again.

mod common;

use std::fs;

use serde_json::Value;

use crate::common::{Scratch, command, fails, fixtures, generate, succeeds, text, tiny};

fn shown(path: &str) -> Value {
    let output = generate(&["--show-recipe", path]);
    succeeds(&output);
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn model() -> String {
    fixtures().join("checkpoints/b").to_str().expect("a unicode path").to_owned()
}

/// The frames as a folder of PNG files holds them, the comments aside.
fn pixels(folder: &str) -> Vec<Vec<u8>> {
    let mut names: Vec<_> =
        fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    let read = |path: &std::path::PathBuf| {
        let file = std::io::BufReader::new(fs::File::open(path).expect("a frame"));
        let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("a size")];
        reader.next_frame(&mut pixels).expect("pixels");
        pixels
    };
    names.iter().map(read).collect()
}

#[test]
fn every_format_carries_the_recipe_and_a_rerun_gives_the_same_bytes() {
    let scratch = Scratch::new();
    let mut formats = vec!["gif", "png"];
    if cfg!(feature = "mp4") {
        formats.push("mp4");
    }
    for ending in formats {
        let [first, again] = ["first", "again"].map(|name| scratch.path(&format!("{name}.{ending}")));
        let prompt = "a \"quoted\" fox,\nжёлтый 🦊";
        succeeds(&tiny(&[
            prompt,
            "-n",
            "grey",
            "-o",
            &first,
            "--zoom",
            "2",
            "--fps",
            "10",
            "--guidance",
            "3.3",
            "--shift",
            "2.7",
        ]));
        let recipe = shown(&first);
        assert_eq!(recipe["prompt"], prompt);
        assert_eq!(recipe["negative_prompt"], "grey");
        assert_eq!(recipe["seed"], 7);
        assert_eq!(
            [&recipe["width"], &recipe["height"], &recipe["frames"], &recipe["fps"], &recipe["zoom"], &recipe["steps"]]
                .map(|n| n.as_u64()),
            [80, 48, 5, 10, 2, 3].map(Some)
        );
        assert_eq!([&recipe["schedule"], &recipe["sampler"], &recipe["precision"]], ["diffusers", "unipc", "full"]);
        assert_eq!([&recipe["guidance"], &recipe["shift"]].map(Value::as_f64), [Some(3.3), Some(2.7)]);
        assert_eq!(recipe["checkpoint"]["name"], "b");
        assert_eq!(recipe["checkpoint"]["fingerprint"].as_str().map(str::len), Some(64));
        let output = generate(&["-m", &model(), "--recipe", &first, "-o", &again]);
        succeeds(&output);
        assert!(!text(&output.stderr).contains("warning"), "{}", text(&output.stderr));
        assert!(fs::read(&first).expect("a video") == fs::read(&again).expect("a video"), "{ending}");
    }
}

#[test]
fn a_folder_of_frames_and_a_file_of_json_are_recipes_too() {
    let scratch = Scratch::new();
    let [first, again, third] = ["first/", "again/", "third/"].map(|name| scratch.path(name));
    succeeds(&tiny(&["a prompt", "-o", &first, "--sigmas", "0.9,0.61,0.3", "--sampler", "euler"]));
    assert_eq!(shown(&first)["sigmas"], serde_json::json!([0.9, 0.61, 0.3]));
    succeeds(&generate(&["-m", &model(), "--recipe", &first, "-o", &again]));
    assert_eq!(pixels(&first), pixels(&again));
    let file = scratch.path("recipe.json");
    fs::write(&file, shown(&first).to_string()).expect("a file");
    succeeds(&generate(&["-m", &model(), "--recipe", &file, "-o", &third]));
    assert_eq!(pixels(&first), pixels(&third));
}

#[test]
fn flags_override_the_recipe() {
    let scratch = Scratch::new();
    let [first, again, direct] = ["a.png", "b.png", "c.png"].map(|name| scratch.path(name));
    succeeds(&tiny(&["a prompt", "-o", &first, "--schedule", "native", "--shift", "4"]));
    succeeds(&generate(&["-m", &model(), "--recipe", &first, "-o", &again, "-s", "8", "-t", "2", "another prompt"]));
    let recipe = shown(&again);
    assert_eq!((&recipe["prompt"], &recipe["schedule"]), (&"another prompt".into(), &"native".into()));
    assert_eq!([&recipe["seed"], &recipe["steps"], &recipe["shift"]].map(Value::as_f64), [8.0, 2.0, 4.0].map(Some));
    let flags = ["-s", "8", "-t", "2", "--schedule", "native", "--shift", "4", "-o", &direct];
    succeeds(&tiny(&[&["another prompt"][..], &flags].concat()));
    assert!(fs::read(&again).expect("a video") == fs::read(&direct).expect("a video"));
    // Another grid does not keep the shift of the first.
    succeeds(&generate(&["-m", &model(), "--recipe", &first, "-o", &again, "--force", "--schedule", "distilled"]));
    assert_eq!(shown(&again)["shift"].as_f64(), Some(5.0));
}

#[test]
fn a_recipe_that_cannot_be_followed_says_so() {
    let scratch = Scratch::new();
    let [video, other, bare, latents] = ["a.gif", "b.gif", "bare.gif", "l.safetensors"].map(|name| scratch.path(name));
    succeeds(&tiny(&["a prompt", "-o", &bare, "--no-recipe", "--save-latents", &latents]));
    fails(&generate(&["--show-recipe", &bare]), 1, &["bare.gif", "recipe", "holds none", "--no-recipe"]);
    fails(&generate(&["-m", &model(), "--recipe", &bare, "-o", &other]), 1, &["bare.gif", "recipe"]);
    fails(&generate(&["--show-recipe", &scratch.path("nowhere.mp4")]), 1, &["nowhere.mp4"]);
    succeeds(&tiny(&["a prompt", "-o", &video, "--latents", &latents]));
    fails(&generate(&["-m", &model(), "--recipe", &video, "-o", &other]), 2, &["latents", "--latents"]);
    succeeds(&generate(&["-m", &model(), "--recipe", &video, "-o", &other, "--latents", &latents]));
    assert!(fs::read(&video).expect("a video") == fs::read(&other).expect("a video"));

    let file = scratch.path("recipe.json");
    let whole = shown(&video);
    let with = |key: &str, value: Value| {
        let mut recipe = whole.clone();
        recipe[key] = value;
        fs::write(&file, recipe.to_string()).expect("a file");
        generate(&["-m", &model(), "--recipe", &file, "-o", &other, "--force", "--latents", &latents])
    };
    let output = with("checkpoint", serde_json::json!({ "name": "elsewhere", "fingerprint": "0".repeat(64) }));
    succeeds(&output);
    assert!(text(&output.stderr).contains("another checkpoint (elsewhere; this is b)"), "{}", text(&output.stderr));
    fails(&with("sampler", "magic".into()), 2, &["sampler", "magic", "unipc"]);
    fails(&with("colour", "red".into()), 1, &["recipe.json", "damaged", "colour"]);
    fails(&with("width", (-80).into()), 1, &["recipe.json", "damaged", "-80"]);
    fails(&with("recipe", 3.into()), 1, &["recipe.json", "version 3", "1 to 2"]);
    fails(&with("precision", "f32".into()), 1, &["recipe.json", "damaged", "f32"]);
    fails(&with("fps", "0/1".into()), 1, &["recipe.json", "damaged", "fps"]);
    fs::write(&file, "{\"a\": 1").expect("a file");
    fails(&generate(&["--show-recipe", &file]), 1, &["recipe.json", "recipe"]);
}

#[test]
fn the_instruction_set_of_the_recipe_is_used_again() {
    let scratch = Scratch::new();
    let [first, again] = ["a.png", "b.png"].map(|name| scratch.path(name));
    let model = model();
    let flags = ["-m", &model, "--size", "80x48", "--frames", "5", "-t", "3", "--exact-conv", "a prompt", "-o", &first];
    let output = command().args(flags).env("ZOETROPE_SIMD", "portable").output().expect("the binary runs");
    succeeds(&output);
    assert_eq!(shown(&first)["device"], "cpu portable exact-conv");
    succeeds(&generate(&["-m", &model, "--recipe", &first, "-o", &again]));
    assert!(fs::read(&first).expect("a video") == fs::read(&again).expect("a video"));
}

#[test]
fn a_recipe_of_version_1_is_followed() {
    let scratch = Scratch::new();
    let [first, again, file] = ["a.png", "b.png", "recipe.json"].map(|name| scratch.path(name));
    succeeds(&tiny(&["a prompt", "-o", &first, "--device", "cpu", "--no-recipe"]));
    let [with_recipe] = ["c.png"].map(|name| scratch.path(name));
    succeeds(&tiny(&["a prompt", "-o", &with_recipe, "--device", "cpu"]));
    let mut recipe = shown(&with_recipe);
    assert_eq!((recipe["recipe"].as_u64(), recipe["precision"].as_str()), (Some(2), Some("full")));
    assert_eq!(recipe["build"].as_str().map(str::len), Some(16), "{recipe}");
    recipe.as_object_mut().expect("an object").remove("build");
    (recipe["recipe"], recipe["precision"]) = (1.into(), "f32".into());
    fs::write(&file, recipe.to_string()).expect("a file");
    let output = generate(&["-m", &model(), "--recipe", &file, "-o", &again, "--no-recipe"]);
    succeeds(&output);
    assert!(!text(&output.stderr).contains("warning"), "{}", text(&output.stderr));
    assert!(fs::read(&first).expect("a video") == fs::read(&again).expect("a video"));
    let mut other = shown(&with_recipe);
    other["build"] = "0123456789abcdef".into();
    fs::write(&file, other.to_string()).expect("a file");
    let output = generate(&["-m", &model(), "--recipe", &file, "-o", &again, "--force"]);
    succeeds(&output);
    assert!(
        text(&output.stderr).contains("the recipe was made by zoetrope 0.1.0 of build 0123456789abcdef"),
        "{}",
        text(&output.stderr)
    );
}
