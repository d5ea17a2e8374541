//! The page: one file without anything from elsewhere.

mod chart;
mod escape;
mod style;

use self::escape::escaped;
use crate::show;
use speeds::case::Op;
use speeds::error::Result;
use speeds::results::{DeviceResults, Results, Row};

/// A page of all devices of some files.
///
/// # Errors
/// [`Error::Request`](speeds::Error::Request) if a chart cannot be drawn.
pub fn page(files: &[Results]) -> Result<String> {
    let devices: Vec<(&Results, &DeviceResults)> =
        files.iter().flat_map(|file| file.devices.iter().map(move |device| (file, device))).collect();
    let sections = devices.iter().map(|(file, device)| section(file, device)).collect::<Result<String>>()?;
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n\
         <meta name=\"color-scheme\" content=\"light dark\"/>\n\
         <link rel=\"icon\" href=\"data:,\"/>\n<title>kernel-bench</title>\n<style>{}</style>\n</head>\n<body>\n\
         <h1>kernel-bench</h1>\n<p>How fast the ops of a video model are, and how close to what the device can do: \
         times are medians with operands that no cache holds, peaks are measured in the same run.</p>\n{}\n{sections}{}\
         </body>\n</html>\n",
        style::CSS,
        legend()?,
        beside(&devices),
    ))
}

fn legend() -> Result<String> {
    let entry = |op: &Op| Ok(format!("<li>{}{op}</li>", chart::mark(*op)?));
    Ok(format!("<ul class=\"legend\">{}</ul>\n", Op::ALL.iter().map(entry).collect::<Result<String>>()?))
}

/// A device: its charts and rows.
fn section(file: &Results, device: &DeviceResults) -> Result<String> {
    let host = &file.host;
    let notes = device.warnings.iter().map(|note| format!("<li class=\"warn\">{}</li>\n", escaped(note)));
    let skipped = show::skipped(device).into_iter().map(|note| format!("<li>{}</li>\n", escaped(&note)));
    let (notes, skipped): (String, String) = (notes.collect(), skipped.collect());
    let list = |items: String| if items.is_empty() { items } else { format!("<ul>\n{items}</ul>\n") };
    let skipped = if skipped.is_empty() {
        skipped
    } else {
        format!("<details><summary>Rows that were skipped</summary>\n{}</details>\n", list(skipped))
    };
    Ok(format!(
        "<section>\n<h2>{}</h2>\n<p>{}</p>\n{}<div class=\"charts\">\n{}{}</div>\n{}{skipped}\
         <p class=\"fine\">suite {}, {} s a row; engine {}; {}; {}</p>\n</section>\n",
        escaped(&show::heading(device)),
        escaped(&show::peak(&device.peak)),
        list(notes),
        figure("Roofline: FLOP a second over FLOP for each byte", &chart::roofline(device)?),
        figure("Share of the measured peak", &chart::shares(device)?),
        table(&show::table(device), 2),
        escaped(&file.suite_name()),
        file.seconds_per_row,
        escaped(&file.engine.version),
        escaped(&host.os),
        escaped(&file.date),
    ))
}

fn figure(caption: &str, svg: &str) -> String {
    format!("<figure>\n<figcaption>{caption}</figcaption>\n{svg}</figure>\n")
}

/// A table of which the first columns are words.
fn table(rows: &[Vec<String>], words: usize) -> String {
    let mut text = String::from("<div class=\"wide\"><table>\n");
    for (i, row) in rows.iter().enumerate() {
        let name = if i == 0 { "th" } else { "td" };
        let cell = |(column, cell): (usize, &String)| {
            let class = if column < words { "" } else { " class=\"n\"" };
            let bad = if cell.starts_with("WRONG") { " class=\"n warn\"" } else { class };
            format!("<{name}{bad}>{}</{name}>", escaped(cell))
        };
        text.push_str(&format!("<tr>{}</tr>\n", row.iter().enumerate().map(cell).collect::<String>()));
    }
    text.push_str("</table></div>\n");
    text
}

/// The devices side by side, in the rows that all files' first suite and version has of them; nothing of one device.
fn beside(devices: &[(&Results, &DeviceResults)]) -> String {
    let Some((first, base)) = devices.first() else { return String::new() };
    let alike: Vec<&DeviceResults> =
        devices.iter().filter(|(file, _)| file.joins(first)).map(|(_, device)| *device).collect();
    if alike.len() < 2 {
        return String::new();
    }
    let mut header = vec!["op".to_owned(), "shape".to_owned()];
    let name = |device: &&DeviceResults| match &device.device.level {
        Some(level) => format!("{}, {level}", device.device.name),
        None => device.device.name.clone(),
    };
    header.extend(alike.iter().map(name));
    let mut rows = vec![header];
    let known = |row: &&Row| alike.iter().any(|device| time(device, row).is_some());
    for row in base.rows.iter().filter(known) {
        let mut cells = vec![row.case.kernel().to_owned(), row.case.sizes()];
        cells.extend(alike.iter().map(|device| time(device, row).unwrap_or_else(|| "–".into())));
        rows.push(cells);
    }
    format!("<section>\n<h2>Side by side, suite {}</h2>\n{}</section>\n", escaped(&first.suite_name()), table(&rows, 2))
}

fn time(device: &DeviceResults, row: &Row) -> Option<String> {
    let found = device.rows.iter().find(|other| other.joins(row));
    found?.measured.as_ref().map(|measured| show::seconds(measured.cold.summary.median))
}
