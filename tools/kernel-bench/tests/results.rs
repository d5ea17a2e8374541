//! Results hold to the schema, what is written is read again, and pages are whole.

mod common;

use common::results;
use kernel_bench::report;
use kernel_bench::run::{Options, run, with_threads};
use kernel_bench::show::{self, Format};
use program::devices::DeviceChoice;
#[cfg(feature = "schema")]
use serde_json::Value;
use speeds::case::Op;
use speeds::estimate::estimate;
use speeds::models::{Model, Part};
use speeds::results::{Results, Storage, write};
use speeds::suite::Suite;
use speeds::timing::COUNTED;
use speeds::{describe, saved};
use zoetrope::Device;

#[cfg(feature = "schema")]
fn held_to_the_schema(json: &str) -> Vec<String> {
    let schema: Value = serde_json::from_str(include_str!("../schema.json")).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let value: Value = serde_json::from_str(json).unwrap();
    validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path)).collect()
}

#[cfg(feature = "schema")]
#[test]
fn results_hold_to_the_schema() {
    let errors = held_to_the_schema(&results(1, None).to_json());
    assert!(errors.is_empty(), "{errors:#?}");
}

#[cfg(feature = "schema")]
#[test]
fn the_schema_refuses_what_is_not_right() {
    let change = |pointer: &str, value: Value| {
        let mut json: Value = serde_json::from_str(&results(1, None).to_json()).unwrap();
        *json.pointer_mut(pointer).unwrap() = value;
        held_to_the_schema(&json.to_string())
    };
    for (pointer, value) in [
        ("/schema", 2.into()),
        ("/suite", "slow".into()),
        ("/devices", Value::Array(Vec::new())),
        ("/devices/0/rows/0/shape", serde_json::json!({ "rows": 1, "k": 2 })),
        ("/devices/0/rows/0/op", "conv3d".into()),
        ("/devices/0/rows/0/measured", Value::Null),
        ("/devices/0/rows/0/measured/cold/median", 0.into()),
        ("/devices/0/rows/0/measured/error/samples", 255.into()),
        ("/devices/0/rows/0/types/weights", "f64".into()),
    ] {
        assert!(!change(pointer, value).is_empty(), "{pointer}");
    }
}

/// A real run, of norms of single rows alone: they take no time.
#[test]
fn a_run_gives_what_the_schema_says() {
    let options = Options {
        devices: vec![DeviceChoice::Cpu],
        suite: Suite::Quick,
        ops: vec![Op::Norm],
        precision: vec![Storage::F16],
        activations: Default::default(),
        seconds: 0.05,
    };
    let mut told = 0;
    let measured = with_threads(Some(1), || run(&options, &mut |_| told += 1)).unwrap();
    #[cfg(feature = "schema")]
    assert_eq!(held_to_the_schema(&measured.to_json()), [""; 0]);
    let rows = &measured.devices[0].rows;
    assert_eq!(rows.len(), Suite::Quick.cases().iter().filter(|case| case.op() == Op::Norm).count());
    let measured = || rows.iter().filter_map(|row| row.measured.as_ref());
    let visits = measured().map(|measured| measured.cold.visits.len()).inspect(|&visits| assert!(visits >= COUNTED));
    let skipped = rows.len() - measured().count();
    assert_eq!(told, 1 + skipped + visits.sum::<usize>());
    // Some may be skipped on a slow machine; the smallest is not.
    assert!(measured().any(|measured| !measured.error.wrong));
}

#[test]
fn what_is_written_is_read_again() {
    let folder = std::env::temp_dir().join(format!("kernel-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("results.json");
    let written = results(1, None);
    write(&path, &written.to_json()).unwrap();
    assert_eq!(Results::read(&path).unwrap(), written);
    // Nothing but the file is there.
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    for (text, said) in [("{\"schema\": 7}", "form 7"), ("[", "not results"), ("{\"schema\": 1}", "not results")] {
        write(&path, text).unwrap();
        let error = Results::read(&path).unwrap_err().to_string();
        assert!(error.contains(said) && error.contains("results.json"), "{error}");
    }
    let long = folder.join("n".repeat(255));
    write(&long, "text").unwrap();
    assert_eq!(std::fs::read_to_string(&long).unwrap(), "text");
    assert!(write(&folder.join("n".repeat(256)), "").unwrap_err().to_string().contains("ame too long"));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
    assert!(write(&folder.join("none/results.json"), "").unwrap_err().to_string().contains("cannot write"));
    std::fs::remove_dir_all(folder).unwrap();
}

/// Two suites of one device are put together; what another engine, driver or instruction set gave is not.
#[test]
fn what_was_measured_of_a_device_is_found_again() {
    let folder = std::env::temp_dir().join(format!("kernel-bench-saved-{}", std::process::id()));
    let cpu = Device::cpu().unwrap();
    assert!(saved::find(&folder, &cpu).is_none());
    let mut quick = results(1, None);
    quick.devices[0].device = describe::info(&cpu);
    saved::save(&folder, &quick).unwrap();
    let rows = quick.devices[0].rows.len();
    let found = || saved::find(&folder, &cpu).map(|saved| (saved.date, saved.device.rows.len()));
    assert_eq!(found(), Some((quick.date.clone(), rows)));
    let larger = Results { suite: Suite::Wan480p, date: "2026-02-02T03:04:05Z".into(), ..quick.clone() };
    saved::save(&folder, &larger).unwrap();
    saved::save(&folder, &larger).unwrap();
    assert_eq!(found(), Some((larger.date.clone(), 2 * rows)));
    std::fs::write(folder.join("broken.json"), "{").unwrap();
    let change = |change: &dyn Fn(&mut Results)| {
        let mut other = quick.clone();
        change(&mut other);
        std::fs::remove_dir_all(&folder).unwrap();
        saved::save(&folder, &other).unwrap();
        assert_eq!(found(), None);
    };
    change(&|other| other.engine.shaders = "0".repeat(64));
    change(&|other| other.devices[0].device.level = Some("mmx".into()));
    change(&|other| other.devices[0].device.threads = Some(999));
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn every_format_has_every_row() {
    let results = results(1, None);
    let rows = results.devices[0].rows.len();
    let text = |format| show::results(&results, format);
    let csv = text(Format::Csv);
    assert_eq!(csv.lines().count(), rows + 1);
    let columns = |line: &str| {
        line.replace("\"\"", "").split('"').step_by(2).map(|part| part.matches(',').count()).sum::<usize>()
    };
    assert!(csv.lines().all(|line| columns(line) == 24), "{csv}");
    assert_eq!(text(Format::Markdown).lines().filter(|line| line.starts_with("| ")).count(), rows);
    assert!(text(Format::Table).contains("skipped: attention 40x128, 75600 by 75600 (about 12.50 s)"));
    assert_eq!(serde_json::from_str::<Results>(&text(Format::Json)).unwrap(), results);
}

#[test]
fn the_page_is_whole_and_asks_for_nothing() {
    let page = report::page(&[results(1, None), results(2, None)]).unwrap();
    let body = page.strip_prefix("<!DOCTYPE html>\n").unwrap();
    let document = roxmltree::Document::parse(body).unwrap();
    let count = |name| document.descendants().filter(|node| node.has_tag_name(name)).count();
    // Two devices and the table of both.
    assert_eq!((count("section"), count("table"), count("script")), (3, 3, 0));
    let charts = document.descendants().filter(|node| node.has_tag_name("figure"));
    for chart in charts {
        let mut titles = chart.descendants().filter(|node| node.has_tag_name("title"));
        // Every mark is coloured and says what it is.
        let marks = chart.descendants().filter(|node| {
            node.attribute("fill").is_some_and(|fill| {
                ["linear", "attention", "conv3d", "norm", "elementwise"].iter().any(|op| fill == format!("var(--{op})"))
            })
        });
        assert!(marks.inspect(|mark| assert_eq!(mark.first_element_child(), titles.next())).count() > 40);
        assert!(!chart.descendants().any(|node| node.attributes().any(|attribute| attribute.value().starts_with('#'))));
        let numbers = ["x", "y", "x1", "y1", "cx", "cy"];
        let inside = |value: &str| value.parse::<f64>().is_ok_and(|number| (0.0..=480.0).contains(&number));
        for node in chart.descendants() {
            let found = numbers.iter().filter_map(|name| node.attribute(*name));
            found.for_each(|value| assert!(inside(value), "{value}"));
        }
    }
    let links = document
        .descendants()
        .flat_map(|node| node.attributes())
        .filter(|attribute| ["href", "src"].contains(&attribute.name()));
    assert!(links.into_iter().all(|link| link.value() == "data:,"));
    assert!(!page.contains("url(") && !page.contains("@import") && !page.contains("http"));
    assert!(page.contains("A &lt;processor&gt; &amp;"));
}

/// The made-up device does 10^11 FLOP and 10^10 bytes a second, one after the other.
#[test]
fn an_estimate_is_the_work_at_the_measured_speed() {
    let results = results(1, None);
    for (model, _) in Model::ALL {
        let sizes = model.sizes().unwrap();
        let parts = estimate(&sizes, &sizes.clip, &results.devices[0]).unwrap();
        assert_eq!(parts.iter().map(|part| part.part).collect::<Vec<_>>(), Part::ALL);
        let work = sizes.work(&sizes.clip).unwrap();
        let pieces = work.once.iter().map(|piece| (piece, 1.0));
        let steps = sizes.clip.steps as f64;
        let pieces = pieces.chain(work.step.iter().map(|piece| (piece, steps)));
        let exact: f64 = pieces
            .map(|(piece, times)| {
                let seconds = piece.case.flop() as f64 / 1e11 + piece.case.bytes(2) as f64 / 1e10;
                times * piece.count as f64 * seconds
            })
            .sum();
        let found: f64 = parts.iter().map(|part| part.all).sum();
        let ratio = found / exact;
        assert!((0.85..1.15).contains(&ratio), "{model}: {ratio}");
        assert!(parts.iter().all(|part| part.limit.is_some() && part.least.is_some()));
    }
}

#[test]
fn an_estimate_without_an_op_says_which() {
    let mut results = results(1, None);
    results.devices[0].rows.retain(|row| row.case.op() != Op::Conv3d);
    let sizes = Model::Bundled.sizes().unwrap();
    let error = estimate(&sizes, &sizes.clip, &results.devices[0]).unwrap_err().to_string();
    assert!(error.contains("conv3d"), "{error}");
}
