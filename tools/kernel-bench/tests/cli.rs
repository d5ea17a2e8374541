//! The program: what it prints and how it ends.

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use common::results;

/// Exit status, standard output and standard error.
fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kernel-bench")).args(arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("kernel-bench-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn compare_ends_with_0_for_the_same_1_for_slower_and_2_for_trouble() {
    let folder = Folder::new("compare");
    let before = folder.file("before.json", &results(1, None).to_json());
    let same = folder.file("same.json", &results(2, None).to_json());
    let slow = folder.file("slow.json", &results(3, Some((4, 1.1))).to_json());
    let (status, out, error) = run(&["compare", &before, &same]);
    assert_eq!((status, error.as_str()), (0, ""), "{out}");
    assert!(out.contains("0 wrong, 0 slower"), "{out}");
    let (status, out, _) = run(&["compare", &before, &same, &slow]);
    assert_eq!(status, 1);
    assert!(out.contains("slow.json against") && out.contains("1 slower"), "{out}");
    // What is allowed is no regression.
    assert_eq!(run(&["compare", &before, &slow, "--threshold", "20%"]).0, 0);
    let (status, out, error) = run(&["compare", &before, "nothing.json"]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(error.starts_with("kernel-bench: cannot read nothing.json: "), "{error}");
    assert_eq!(run(&["compare", &before]).0, 2);
}

#[test]
fn estimate_and_report_take_a_file() {
    let folder = Folder::new("report");
    let file = folder.file("results.json", &results(1, None).to_json());
    let (status, out, error) =
        run(&["estimate", "--model", "wan2.1-t2v-1.3b", "--size", "256x256", "--frames", "9", &file]);
    assert_eq!((status, error.as_str()), (0, ""));
    for part in ["UMT5", "GEMM", "attention", "other", "VAE", "in all"] {
        assert!(out.lines().any(|line| line.starts_with(part)), "{out}");
    }
    let (status, _, error) = run(&["estimate", "--model", "bundled", "--size", "100x100", &file]);
    assert_eq!((status, error.as_str()), (2, "kernel-bench: width: 100 is no multiple of 32; try 96\n"));
    let page = folder.0.join("report.html");
    let (status, out, _) = run(&["report", &file, "-o", page.to_str().unwrap()]);
    assert_eq!((status, out.trim_end()), (0, page.to_str().unwrap()));
    assert!(fs::read_to_string(page).unwrap().contains("</html>"));
}

#[test]
fn devices_begin_with_the_processor_and_unknown_ones_are_refused() {
    let (status, out, _) = run(&["devices"]);
    assert_eq!(status, 0);
    assert!(out.starts_with("cpu "), "{out}");
    let (status, _, error) = run(&["run", "--device", "no such device"]);
    assert_eq!(status, 2, "{error}");
    for flags in
        [["--suite", "slow"], ["--ops", "matmul"], ["--precision", "f64"], ["--format", "pdf"], ["--time", "0"]]
    {
        let (status, _, error) = run(&["run", flags[0], flags[1]]);
        assert!(status == 2 && error.contains(flags[1]), "{error}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_standard_output_that_cannot_be_written_is_trouble() {
    for redirection in [">/dev/full", ">&-"] {
        let script = format!("exec \"$0\" devices {redirection}");
        let output = Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_kernel-bench")]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{redirection}: {said}");
        assert!(said.contains("standard output"), "{said}");
    }
}
