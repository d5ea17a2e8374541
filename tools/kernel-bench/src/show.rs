//! Results for people and for spreadsheets.

use std::fmt;
use std::str::FromStr;

use speeds::error::Error;
use speeds::peak::Peak;
use speeds::results::{DeviceResults, Measured, Results, Row};

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Columns.
    #[default]
    Table,
    /// Tables for a forum or an issue.
    Markdown,
    /// One line for each row, in plain units.
    Csv,
    /// As the file.
    Json,
}

impl Format {
    const ALL: [(Self, &'static str); 4] =
        [(Self::Table, "table"), (Self::Markdown, "markdown"), (Self::Csv, "csv"), (Self::Json, "json")];
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let refuse = || Error::Request {
            what: "format",
            why: format!("{text:?} is not one of {}", Self::ALL.map(|all| all.1).join(", ")),
        };
        Self::ALL.into_iter().find(|(_, name)| *name == text).map(|(format, _)| format).ok_or_else(refuse)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.into_iter().find(|(format, _)| format == self).map_or("table", |(_, name)| name))
    }
}

/// Results in a format.
pub fn results(results: &Results, format: Format) -> String {
    match format {
        Format::Json => results.to_json(),
        Format::Csv => csv(results),
        Format::Table => tables(results, aligned),
        Format::Markdown => tables(results, markdown),
    }
}

/// The columns of a table.
pub const COLUMNS: [&str; 13] = [
    "op",
    "shape",
    "weights",
    "median",
    "p95",
    "MAD",
    "threads",
    "TFLOP/s",
    "GB/s",
    "FLOP/byte",
    "of peak",
    "hot",
    "error",
];

fn tables(results: &Results, layout: fn(&[Vec<String>]) -> String) -> String {
    let mut text = String::new();
    for device in &results.devices {
        text.push_str(&format!("{}\n{}\n\n", heading(device), peak(&device.peak)));
        text.push_str(&layout(&table(device)));
        let (skipped, notes) = (skipped(device), &device.warnings);
        for note in skipped.iter().chain(notes) {
            text.push_str(&format!("\n- {note}"));
        }
        text.push_str(if skipped.is_empty() && notes.is_empty() { "\n" } else { "\n\n" });
    }
    let host = &results.host;
    text.push_str(&format!(
        "suite {}, {} s a row; engine {}; {}; {}\n",
        results.suite_name(),
        results.seconds_per_row,
        results.engine.version,
        host.os,
        results.date
    ));
    text
}

/// A device in a line.
pub fn heading(device: &DeviceResults) -> String {
    let info = &device.device;
    let mut parts = vec![format!("{}: {}", info.id, info.name)];
    parts.extend(info.level.clone());
    parts.extend(info.threads.map(|threads| format!("{threads} thread{}", if threads == 1 { "" } else { "s" })));
    parts.extend((info.kind == "software").then(|| "a software driver".to_owned()));
    parts.extend(info.driver.clone());
    parts.extend(info.api.as_ref().map(|api| format!("Vulkan {api}")));
    parts.join(", ")
}

/// What a device can do at most, in a line.
pub fn peak(peak: &Peak) -> String {
    let flops = peak.flops.map_or("arithmetic not measured".into(), |flops| {
        format!("{} FLOP/s of multiply-add in registers (f32)", rate(flops))
    });
    let thread = peak.thread_flops.map(|flops| format!(" ({} FLOP for each second of a thread)", rate(flops)));
    let more = [(peak.half_flops, "f16"), (peak.matrix_flops, "f16 matrices with sums of f32")];
    let more = more.into_iter().filter_map(|(flops, what)| Some(format!(", {} ({what})", rate(flops?))));
    let more: String = more.collect();
    let fresh = peak.fresh.map(|fresh| format!(", {}B/s of new memory", rate(fresh))).unwrap_or_default();
    format!("{flops}{}{more}, {}B/s copied{fresh}", thread.unwrap_or_default(), rate(peak.bytes))
}

/// The rows of a device that were measured, with a heading.
pub fn table(device: &DeviceResults) -> Vec<Vec<String>> {
    let mut table = vec![COLUMNS.map(str::to_owned).to_vec()];
    table.extend(device.rows.iter().filter_map(|row| Some(line(row, row.measured.as_ref()?))));
    table
}

fn line(row: &Row, measured: &Measured) -> Vec<String> {
    let cold = &measured.cold.summary;
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    // What others took from the threads says nothing about the kernel.
    let share = measured.thread_share.or(measured.share).map_or("".into(), percent);
    let error = match measured.error.rel_rms {
        Some(error) if !measured.error.wrong => format!("{error:.0e}"),
        Some(error) => format!("WRONG {error:.0e}"),
        None => "WRONG".into(),
    };
    vec![
        row.case.kernel().into(),
        row.case.sizes() + path_note(&row.path),
        row.types.weights.map(|weights| weights.to_string()).unwrap_or_default(),
        seconds(cold.median),
        seconds(cold.p95),
        format!("{:.1} %", 100.0 * cold.noise()),
        measured.cold.thread.as_ref().map(|thread| seconds(thread.summary.median)).unwrap_or_default(),
        if row.flop > 0 { format!("{:.3}", measured.tflops) } else { String::new() },
        format!("{:.1}", measured.gbs),
        format!("{:.1}", row.flop_per_byte),
        share,
        measured.hot.as_ref().map(|hot| seconds(hot.summary.median)).unwrap_or_default(),
        error,
    ]
}

/// What a reader has to know of the way that a row went.
fn path_note(path: &str) -> &'static str {
    if path.ends_with("winograd") { ", Winograd" } else { "" }
}

/// Rows without figures, and why.
pub fn skipped(device: &DeviceResults) -> Vec<String> {
    let line = |row: &Row| {
        let skipped = row.skipped.as_ref()?;
        let about = skipped.seconds.map(|time| format!(" (about {})", seconds(time))).unwrap_or_default();
        Some(format!("skipped: {}{about}: {}", row.case, skipped.why))
    };
    device.rows.iter().filter_map(line).collect()
}

/// Columns as wide as they have to be; text to the left, numbers to the right.
pub fn aligned(table: &[Vec<String>]) -> String {
    let columns = table.first().map_or(0, Vec::len);
    let width = |column: usize| table.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in table {
        let cells = row.iter().zip(&widths).enumerate().map(|(i, (cell, &width))| {
            let gap = " ".repeat(width - cell.chars().count());
            if i < 3 { format!("{cell}{gap}") } else { format!("{gap}{cell}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The same as Markdown.
pub fn markdown(table: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (i, row) in table.iter().enumerate() {
        text.push_str(&format!("| {} |\n", row.join(" | ")));
        if i == 0 {
            text.push_str(&format!(
                "|{}\n",
                (0..row.len()).map(|i| if i < 3 { "---|" } else { "---:|" }).collect::<String>()
            ));
        }
    }
    text
}

fn csv(results: &Results) -> String {
    let mut text = String::from(
        "device,name,op,kernel,shape,weights,path,n,min_s,median_s,p95_s,mad_s,thread_median_s,hot_median_s,flop,bytes,\
         tflops,gbs,flop_per_byte,limit,share,thread_share,rel_rms,wrong,skipped\n",
    );
    for device in &results.devices {
        for row in &device.rows {
            let mut cells = vec![
                device.device.id.clone(),
                device.device.name.clone(),
                row.case.op().to_string(),
                row.case.kernel().into(),
                row.case.sizes(),
                row.types.weights.map(|weights| weights.to_string()).unwrap_or_default(),
                row.path.clone(),
            ];
            cells.extend(figures(row));
            cells.push(row.skipped.as_ref().map(|skipped| skipped.why.clone()).unwrap_or_default());
            text.push_str(&cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(","));
            text.push('\n');
        }
    }
    text
}

/// The columns of numbers.
fn figures(row: &Row) -> Vec<String> {
    let optional = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    let work = [row.flop.to_string(), row.bytes.to_string()];
    let Some(measured) = &row.measured else {
        let mut cells = vec![String::new(); 7];
        cells.extend(work);
        cells.extend([String::new(), String::new(), row.flop_per_byte.to_string()]);
        cells.resize(17, String::new());
        return cells;
    };
    let cold = &measured.cold.summary;
    let thread = measured.cold.thread.as_ref().map(|thread| thread.summary.median);
    let hot = measured.hot.as_ref().map(|hot| hot.summary.median);
    let mut cells = vec![cold.n.to_string()];
    cells.extend([cold.min, cold.median, cold.p95, cold.mad].map(|seconds| seconds.to_string()));
    cells.extend([optional(thread), optional(hot)]);
    cells.extend(work);
    cells.extend([measured.tflops, measured.gbs, row.flop_per_byte].map(|figure| figure.to_string()));
    cells.push(measured.limit.map(|limit| limit.to_string()).unwrap_or_default());
    cells.extend([measured.share, measured.thread_share, measured.error.rel_rms].map(optional));
    cells.push(measured.error.wrong.to_string());
    cells
}

/// As RFC 4180 wants it.
fn quoted(cell: &str) -> String {
    if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// Seconds as people read them.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if !s.is_finite() => "unknown".into(),
        s if s < 1e-3 => format!("{:.1} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s if s < 120.0 => format!("{s:.2} s"),
        s if s < 7200.0 => format!("{:.1} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// A rate with the prefix of its unit.
pub fn rate(rate: f64) -> String {
    let (scale, prefix) =
        [(1e15, "P"), (1e12, "T"), (1e9, "G")].into_iter().find(|(scale, _)| rate >= *scale).unwrap_or((1e6, "M"));
    format!("{:.1} {prefix}", rate / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        assert_eq!(
            [1e-5, 0.0123, 2.0, 600.0, 9000.0].map(seconds),
            ["10.0 µs", "12.30 ms", "2.00 s", "10.0 min", "2.5 h"]
        );
        assert_eq!((rate(2.068e11), rate(1.5e12)), ("206.8 G".into(), "1.5 T".into()));
        assert_eq!((quoted("a"), quoted("a, \"b\"")), ("a".into(), "\"a, \"\"b\"\"\"".into()));
    }

    #[test]
    fn tables_have_straight_columns() {
        let table = [["a", "bb", "c", "dd"], ["aaa", "b", "c", "1"]].map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(aligned(&table), "a    bb  c  dd\naaa  b   c   1\n");
        assert_eq!(markdown(&table), "| a | bb | c | dd |\n|---|---|---|---:|\n| aaa | b | c | 1 |\n");
    }
}
