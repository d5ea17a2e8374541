//! An estimate as it is printed.

use speeds::estimate::Estimated;
use speeds::models::{Clip, Model};
use speeds::results::DeviceResults;

use crate::show;

/// The parts in columns, with what the whole takes.
pub fn text(model: Model, clip: &Clip, device: &DeviceResults, parts: &[Estimated]) -> String {
    let header = ["part", "limited by", "", "a step", "the video", "of the video", "of peak"];
    let mut table = vec![header.map(str::to_owned).to_vec()];
    let all: f64 = parts.iter().map(|part| part.all).sum();
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    for part in parts {
        table.push(vec![
            part.part.name().into(),
            part.limit.map(|limit| limit.to_string()).unwrap_or_default(),
            String::new(),
            if part.step > 0.0 { show::seconds(part.step) } else { String::new() },
            show::seconds(part.all),
            percent(part.all / all),
            part.least.map(|least| percent(least / part.all)).unwrap_or_default(),
        ]);
    }
    let step: f64 = parts.iter().map(|part| part.step).sum();
    let blank = String::new;
    table.push(vec!["in all".into(), blank(), blank(), show::seconds(step), show::seconds(all), blank(), blank()]);
    let Clip { width, height, frames, steps, text } = clip;
    let guidance = if text[1] > 0 { "with guidance" } else { "without guidance" };
    format!(
        "{model}, {width}x{height}, {frames} frames, {steps} steps {guidance}, on {}\n\n{}\nWithout reading weights from disk.\n",
        show::heading(device),
        show::aligned(&table)
    )
}
