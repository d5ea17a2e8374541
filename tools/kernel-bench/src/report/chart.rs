//! Charts as SVG that takes its colours from the page.

use std::fmt::Write;

use crate::case::Op;
use crate::peak::Peak;
use crate::results::{DeviceResults, Measured, Row};
use crate::show;
use crate::stats::median;

/// Text as it stands in a page.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A mark of an op, which has a form of its own for those who do not see the colours.
pub fn mark(op: Op, x: f64, y: f64, title: &str) -> String {
    let form = match op {
        Op::Linear => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\""),
        Op::Attention => polygon(x, y, &[(0.0, -6.0), (5.5, 4.5), (-5.5, 4.5)]),
        Op::Conv3d => polygon(x, y, &[(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)]),
        Op::Norm => polygon(x, y, &[(0.0, -6.0), (6.0, 0.0), (0.0, 6.0), (-6.0, 0.0)]),
        Op::Elementwise => polygon(x, y, &[(0.0, 6.0), (5.5, -4.5), (-5.5, -4.5)]),
    };
    let title = if title.is_empty() { String::new() } else { format!("<title>{}</title>", escaped(title)) };
    let name = form.split(' ').next().unwrap_or_default().trim_start_matches('<').to_owned();
    format!("{form} class=\"mark {op}\">{title}</{name}>")
}

fn polygon(x: f64, y: f64, corners: &[(f64, f64)]) -> String {
    let points = corners.iter().map(|(dx, dy)| format!("{:.1},{:.1}", x + dx, y + dy)).collect::<Vec<_>>().join(" ");
    format!("<polygon points=\"{points}\"")
}

/// An axis whose equal steps are equal factors.
struct Log {
    ends: [f64; 2],
    places: [f64; 2],
}

impl Log {
    /// From the power of ten below to the one above.
    fn over(low: f64, high: f64, places: [f64; 2]) -> Self {
        Self { ends: [low.log10().floor(), high.log10().ceil().max(low.log10().floor() + 1.0)], places }
    }

    fn place(&self, value: f64) -> f64 {
        let [low, high] = self.ends;
        let share = (value.log10() - low) / (high - low);
        self.places[0] + (self.places[1] - self.places[0]) * share
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + use<> {
        let [low, high] = self.ends;
        (low as i32..=high as i32).map(|power| 10f64.powi(power))
    }

    fn last(&self) -> f64 {
        10f64.powf(self.ends[1])
    }

    fn first(&self) -> f64 {
        10f64.powf(self.ends[0])
    }
}

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 340.0;
/// Where the axes are: left, right, top, bottom.
const FRAME: [f64; 4] = [60.0, 456.0, 12.0, 296.0];

fn measured(device: &DeviceResults) -> impl Iterator<Item = (&Row, &Measured)> {
    device.rows.iter().filter_map(|row| Some((row, row.measured.as_ref()?)))
}

fn open(label: &str, height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{}\">\n", escaped(label))
}

fn line(svg: &mut String, class: &str, [x1, y1, x2, y2]: [f64; 4]) {
    // Writing to a text does not fail.
    let _ = writeln!(svg, "<line class=\"{class}\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>");
}

fn text(svg: &mut String, anchor: &str, x: f64, y: f64, text: &str) {
    let text = escaped(text);
    let _ = writeln!(svg, "<text class=\"soft\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>");
}

/// Speed over arithmetic for each byte, under what the device's memory and arithmetic allow (Williams, Waterman and
/// Patterson, CACM 52, 2009).
pub fn roofline(device: &DeviceResults) -> String {
    let points: Vec<(&Row, &Measured)> = measured(device).filter(|(row, _)| row.flop > 0).collect();
    let peak = &device.peak;
    let over = |f: &dyn Fn(&(&Row, &Measured)) -> f64, start: [f64; 2]| {
        points.iter().map(f).fold(start, |[low, high], value| [low.min(value), high.max(value)])
    };
    let [low, high] = over(&|(row, _)| row.flop_per_byte, [0.1, 1000.0]);
    let x = Log::over(low, high, [FRAME[0], FRAME[1]]);
    let top = peak.flops.into_iter().chain(peak.matrix_flops).reduce(f64::max).unwrap_or(peak.bytes * 10.0);
    let [low, high] = over(&|(_, measured)| 1e12 * measured.tflops, [peak.bytes * x.first(), top]);
    let y = Log::over(low, high, [FRAME[3], FRAME[2]]);

    let mut svg = open("Speed of each row over its operations for each byte, with the device's limits", HEIGHT);
    for tick in x.ticks() {
        line(&mut svg, "grid", [x.place(tick), FRAME[2], x.place(tick), FRAME[3]]);
        text(&mut svg, "middle", x.place(tick), FRAME[3] + 16.0, &tick.to_string());
    }
    for tick in y.ticks() {
        line(&mut svg, "grid", [FRAME[0], y.place(tick), FRAME[1], y.place(tick)]);
        text(&mut svg, "end", FRAME[0] - 6.0, y.place(tick) + 4.0, &scaled(tick));
    }
    text(&mut svg, "middle", (FRAME[0] + FRAME[1]) / 2.0, HEIGHT - 8.0, "FLOP for each byte");
    roof(&mut svg, peak, &x, &y);
    if peak.matrix_flops.is_some() {
        roof(&mut svg, &peak.of_units(), &x, &y);
    }
    for (row, measured) in points {
        let title = format!(
            "{}: {}FLOP/s, {}",
            row.case,
            show::rate(1e12 * measured.tflops),
            show::seconds(measured.cold.summary.median)
        );
        svg.push_str(&mark(row.case.op(), x.place(row.flop_per_byte), y.place(1e12 * measured.tflops), &title));
        svg.push('\n');
    }
    svg.push_str("</svg>\n");
    svg
}

/// The slope of memory and, where arithmetic was measured, the flat of that.
fn roof(svg: &mut String, peak: &Peak, x: &Log, y: &Log) {
    // The slope begins where it enters the frame and ends where arithmetic begins to count, or at the edge.
    let start = x.first().max(y.first() / peak.bytes);
    let edge = x.last().min(y.last() / peak.bytes);
    let ridge = peak.flops.map_or(edge, |flops| (flops / peak.bytes).clamp(start, edge));
    let mut points = vec![(start, peak.bytes * start), (ridge, peak.bytes * ridge)];
    points.extend(peak.flops.map(|flops| (x.last(), flops)));
    let points = points.iter().map(|&(at, rate)| format!("{:.1},{:.1}", x.place(at), y.place(rate)));
    let _ = writeln!(svg, "<polyline class=\"roof\" points=\"{}\"/>", points.collect::<Vec<_>>().join(" "));
}

/// Axis labels: a number with its prefix.
fn scaled(value: f64) -> String {
    let scales = [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let (scale, prefix) = scales.into_iter().find(|(scale, _)| value >= 0.999 * scale).unwrap_or((1.0, ""));
    format!("{:.0} {prefix}", value / scale)
}

/// A line for each op: a mark for each row at its share of what the measured peak allows, and a bar at their median.
pub fn shares(device: &DeviceResults) -> String {
    const EACH: f64 = 44.0;
    let share = |measured: &Measured| measured.thread_share.or(measured.share);
    let all: Vec<(Op, f64, String)> = measured(device)
        .filter_map(|(row, measured)| Some((row.case.op(), share(measured)?, row.case.to_string())))
        .collect();
    let most = all.iter().map(|(_, share, _)| *share).fold(1.0, f64::max);
    let most = (most * 4.0).ceil() / 4.0;
    let [left, right] = [94.0, 452.0];
    let place = |share: f64| left + (right - left) * share / most;
    let bottom = 12.0 + EACH * Op::ALL.len() as f64;
    let mut svg = open("Share of the measured peak of each row, by op", bottom + 40.0);
    for quarter in 0..=(most * 4.0) as usize {
        let at = place(quarter as f64 / 4.0);
        line(&mut svg, if quarter == 4 { "roof" } else { "grid" }, [at, 12.0, at, bottom]);
        // Where there are many, half of them do.
        if most <= 1.5 || quarter.is_multiple_of(2) {
            text(&mut svg, "middle", at, bottom + 16.0, &format!("{} %", 25 * quarter));
        }
    }
    for (i, op) in Op::ALL.into_iter().enumerate() {
        let y = 12.0 + EACH * (i as f64 + 0.5);
        text(&mut svg, "end", left - 10.0, y + 4.0, op.name());
        let own: Vec<&(Op, f64, String)> = all.iter().filter(|(other, ..)| *other == op).collect();
        if own.is_empty() {
            text(&mut svg, "start", left + 8.0, y + 4.0, "not known");
            continue;
        }
        let middle = place(median(&own.iter().map(|(_, share, _)| *share).collect::<Vec<_>>()));
        line(&mut svg, "roof", [middle, y - 14.0, middle, y + 14.0]);
        for (_, share, name) in own {
            let title = format!("{name}: {:.0} %", 100.0 * share);
            svg.push_str(&mark(op, place(*share), y, &title));
            svg.push('\n');
        }
    }
    text(
        &mut svg,
        "middle",
        (left + right) / 2.0,
        bottom + 34.0,
        "of what the measured peak allows; the bar is the median",
    );
    svg.push_str("</svg>\n");
    svg
}
