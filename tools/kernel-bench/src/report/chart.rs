//! Charts as SVG that takes its colours from the page.

use std::ops::Range;

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::escape::escaped;
use crate::show;
use speeds::case::Op;
use speeds::error::{Error, Result};
use speeds::peak::Peak;
use speeds::results::{DeviceResults, Measured, Row};
use speeds::stats::median;

/// Stand-ins for the page's colours, which [`drawn`] puts in their place.
const INK: RGBColor = RGBColor(0, 0, 1);
const SOFT: RGBColor = RGBColor(0, 0, 2);
const LINE: RGBColor = RGBColor(0, 0, 3);
const OPS: [RGBColor; Op::ALL.len()] =
    [RGBColor(0, 1, 0), RGBColor(0, 1, 1), RGBColor(0, 1, 2), RGBColor(0, 1, 3), RGBColor(0, 1, 4)];
const FONT: &str = "system-ui, sans-serif";
const WIDTH: u32 = 480;
const HEIGHT: u32 = 340;

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type Fault = Box<dyn std::error::Error>;

/// An SVG of what `draw` draws, each mark of which gets the next title.
fn drawn(
    label: &str,
    size: (u32, u32),
    titles: &[String],
    draw: impl FnOnce(&Area) -> std::result::Result<(), Fault>,
) -> Result<String> {
    let mut svg = String::new();
    let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    let refused = |error: Fault| Error::Request { what: "chart", why: format!("cannot draw {label}: {error}") };
    draw(&area).and_then(|()| Ok(area.present()?)).map_err(refused)?;
    drop(area);
    let hex = |RGBColor(r, g, b): RGBColor| format!("\"#{r:02X}{g:02X}{b:02X}\"");
    let mut titles = titles.iter();
    let titled = |line: &str| {
        let marks = OPS.iter().any(|colour| line.contains(&hex(*colour))) && line.ends_with("/>");
        let name = line.trim_start_matches('<').split(' ').next().unwrap_or_default();
        match marks.then(|| titles.next()).flatten() {
            Some(title) => format!("{}><title>{}</title></{name}>\n", line.trim_end_matches("/>"), escaped(title)),
            None => format!("{line}\n"),
        }
    };
    let mut svg: String = svg.lines().map(titled).collect();
    for (colour, name) in [(INK, "ink"), (SOFT, "soft"), (LINE, "line")] {
        svg = svg.replace(&hex(colour), &format!("\"var(--{name})\""));
    }
    for (colour, op) in OPS.into_iter().zip(Op::ALL) {
        svg = svg.replace(&hex(colour), &format!("\"var(--{op})\""));
    }
    let head = format!("<svg role=\"img\" aria-label=\"{}\" ", escaped(label));
    Ok(svg.replacen("<svg ", &head, 1).replace(" xmlns=\"http://www.w3.org/2000/svg\"", ""))
}

/// The mark of an op round its place, of a form of its own for those who do not see the colours.
fn form(op: Op) -> Polygon<(i32, i32)> {
    let corners: &[(i32, i32)] = match op {
        Op::Linear => &[(-2, -5), (2, -5), (5, -2), (5, 2), (2, 5), (-2, 5), (-5, 2), (-5, -2)],
        Op::Attention => &[(0, -6), (6, 5), (-6, 5)],
        Op::Conv3d => &[(-5, -5), (5, -5), (5, 5), (-5, 5)],
        Op::Norm => &[(0, -6), (6, 0), (0, 6), (-6, 0)],
        Op::Elementwise => &[(0, 6), (6, -5), (-6, -5)],
    };
    Polygon::new(corners, OPS[op as usize].mix(0.85).filled())
}

/// The mark of an op, alone.
///
/// # Errors
/// [`Error::Request`] if it cannot be drawn.
pub fn mark(op: Op) -> Result<String> {
    drawn(op.name(), (14, 14), &[], |area| Ok(area.draw(&(EmptyElement::at((7, 7)) + form(op)))?))
}

fn measured(device: &DeviceResults) -> impl Iterator<Item = (&Row, &Measured)> {
    device.rows.iter().filter_map(|row| Some((row, row.measured.as_ref()?)))
}

/// From the power of ten below to the one above.
fn decades(values: impl Iterator<Item = f64>) -> Range<f64> {
    let [low, high] = values.fold([f64::INFINITY, 0.0], |[low, high], value| [value.min(low), value.max(high)]);
    let first = low.log10().floor();
    10f64.powf(first)..10f64.powf(high.log10().ceil().max(first + 1.0))
}

/// Speed over arithmetic for each byte, under what the device's memory and arithmetic allow (Williams, Waterman and
/// Patterson, CACM 52, 2009).
///
/// # Errors
/// [`Error::Request`] if it cannot be drawn.
pub fn roofline(device: &DeviceResults) -> Result<String> {
    let rows: Vec<(&Row, &Measured)> = measured(device).filter(|(row, _)| row.flop > 0).collect();
    let peak = &device.peak;
    let xs = decades(rows.iter().map(|(row, _)| row.flop_per_byte).chain([0.1, 1000.0]));
    let speeds = rows.iter().map(|(_, measured)| 1e12 * measured.tflops);
    let ys = decades(speeds.chain([peak.bytes * xs.start]).chain(peak.flops).chain(peak.matrix_flops));
    let title = |(row, measured): &(&Row, &Measured)| {
        let (speed, seconds) = (show::rate(1e12 * measured.tflops), show::seconds(measured.cold.summary.median));
        format!("{}: {speed}FLOP/s, {seconds}", row.case)
    };
    let titles: Vec<String> = rows.iter().map(title).collect();
    drawn(
        "speed of each row over its operations for each byte, with the device's limits",
        (WIDTH, HEIGHT),
        &titles,
        |area| {
            let mut chart = ChartBuilder::on(area)
                .margin(12)
                .margin_right(24)
                .x_label_area_size(44)
                .y_label_area_size(48)
                .build_cartesian_2d(xs.clone().log_scale(), ys.clone().log_scale())?;
            let count = |range: &Range<f64>| 1 + (range.end / range.start).log10().round() as usize;
            chart
                .configure_mesh()
                .light_line_style(TRANSPARENT)
                .bold_line_style(LINE)
                .axis_style(LINE)
                .label_style((FONT, 16).into_font().color(&SOFT))
                .x_labels(count(&xs))
                .y_labels(count(&ys))
                .x_label_formatter(&|x| x.to_string())
                .y_label_formatter(&|y| scaled(*y))
                .x_desc("FLOP for each byte")
                .draw()?;
            let units = peak.matrix_flops.map(|_| peak.of_matrices());
            for peak in [Some(*peak), units].into_iter().flatten() {
                chart.draw_series(LineSeries::new(roof(&peak, &xs, &ys), INK.stroke_width(2)))?;
            }
            let at = |row: &Row, measured: &Measured| (row.flop_per_byte, 1e12 * measured.tflops);
            chart.draw_series(
                rows.iter().map(|(row, measured)| EmptyElement::at(at(row, measured)) + form(row.case.op())),
            )?;
            Ok(())
        },
    )
}

/// The slope of memory and, where arithmetic was measured, the flat of that.
fn roof(peak: &Peak, x: &Range<f64>, y: &Range<f64>) -> Vec<(f64, f64)> {
    // The slope begins where it enters the frame and ends where arithmetic begins to count, or at the edge.
    let start = x.start.max(y.start / peak.bytes);
    let edge = x.end.min(y.end / peak.bytes);
    let ridge = peak.flops.map_or(edge, |flops| (flops / peak.bytes).clamp(start, edge));
    let slope = [start, ridge].map(|at| (at, peak.bytes * at));
    slope.into_iter().chain(peak.flops.map(|flops| (x.end, flops))).collect()
}

/// Axis labels: a number with its prefix.
fn scaled(value: f64) -> String {
    let scales = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, prefix) = scales.into_iter().find(|(scale, _)| value >= 0.999 * scale).unwrap_or((1.0, ""));
    format!("{:.0} {prefix}", value / scale)
}

/// A line for each op: a mark for each row at its share of what the measured peak allows, and a bar at their median.
///
/// # Errors
/// [`Error::Request`] if it cannot be drawn.
pub fn shares(device: &DeviceResults) -> Result<String> {
    let share = |measured: &Measured| measured.thread_share.or(measured.share);
    let all: Vec<(Op, f64, String)> = measured(device)
        .filter_map(|(row, measured)| Some((row.case.op(), share(measured)?, row.case.to_string())))
        .collect();
    let most = all.iter().map(|(_, share, _)| *share).fold(1.0, f64::max);
    let most = (most * 4.0).ceil() / 4.0;
    // The first is at the top.
    let line = |op: Op| SegmentValue::CenterOf(Op::ALL.len() - 1 - op as usize);
    let titles: Vec<String> = all.iter().map(|(_, share, name)| format!("{name}: {:.0} %", 100.0 * share)).collect();
    drawn("share of the measured peak of each row, by op", (WIDTH, 290), &titles, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .margin_right(24)
            .x_label_area_size(44)
            .y_label_area_size(90)
            .build_cartesian_2d(0.0..most, (0..Op::ALL.len() - 1).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(LINE)
            .axis_style(LINE)
            .label_style((FONT, 16).into_font().color(&SOFT))
            .x_label_formatter(&|share| format!("{:.0} %", 100.0 * share))
            .y_label_formatter(&|line| match line {
                SegmentValue::CenterOf(i) => Op::ALL[Op::ALL.len() - 1 - i].name().to_owned(),
                _ => String::new(),
            })
            .x_desc("of what the measured peak allows; the bar is the median")
            .draw()?;
        let whole = [(1.0, SegmentValue::Exact(0)), (1.0, SegmentValue::Last)];
        chart.draw_series(LineSeries::new(whole, INK.stroke_width(1)))?;
        for op in Op::ALL {
            let own: Vec<f64> = all.iter().filter(|(other, ..)| *other == op).map(|(_, share, _)| *share).collect();
            if own.is_empty() {
                let style = (FONT, 16).into_font().color(&SOFT).pos(Pos::new(HPos::Left, VPos::Center));
                chart.draw_series([EmptyElement::at((0.0, line(op))) + Text::new("not known", (8, 0), style)])?;
            } else {
                let bar = Rectangle::new([(-1, -14), (1, 14)], INK.filled());
                chart.draw_series([EmptyElement::at((median(&own), line(op))) + bar])?;
            }
        }
        chart.draw_series(all.iter().map(|(op, share, _)| EmptyElement::at((*share, line(*op))) + form(*op)))?;
        Ok(())
    })
}
