//! A plan as people read it.

use program::job::Job;
use program::plan::{Planned, duration};
use zoetrope::Request;

/// The table of a plan, and whether it fits.
pub fn of(job: &Job, planned: &Planned) -> String {
    let Planned { plan, event } = planned;
    let Request { width, height, frames, .. } = &job.settings.request;
    let mut rows = vec![["", "tokens", "rounds", "FLOP", "memory", "weights", "time"].map(str::to_owned)];
    for (stage, of) in plan.stages.iter().zip(&event.stages) {
        let (tokens, rounds) = (stage.tokens.to_string(), stage.rounds.to_string());
        let (memory, weights) = (bytes(stage.memory()), bytes(stage.weights));
        let time = duration(of.seconds);
        rows.push([stage.stage.to_string(), tokens, rounds, flop(stage.work.flop()), memory, weights, time]);
    }
    let (work, time) = (flop(plan.work().flop()), duration(event.seconds));
    let weights = bytes(plan.stages.iter().map(|stage| stage.weights).sum());
    rows.push(["in all".into(), String::new(), String::new(), work, bytes(plan.memory()), weights, time]);

    let (steps, device, threads) = (event.steps, &event.device, event.threads);
    let mut text = format!("{width}x{height}, {frames} frames, {steps} steps on {device}, {threads} threads\n");
    let widths: [usize; 7] = std::array::from_fn(|i| rows.iter().map(|row| row[i].len()).max().unwrap_or(0));
    for row in rows {
        let [name, numbers @ ..] = &row;
        let line = numbers
            .iter()
            .zip(&widths[1..])
            .fold(format!("{name:<0$}", widths[0]), |line, (cell, width)| format!("{line}  {cell:>width$}"));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let mapped = plan.stages.iter().all(|stage| !stage.weights_copied);
    text.push_str(if mapped {
        "Memory is without the weights, which are mapped; times are for weights that are in memory already."
    } else {
        "Memory is with the weights of a stage."
    });
    text.push_str(&format!(" Speeds are those of {}.\n", event.speeds));
    if let Some(total) = event.machine_memory {
        let verdict = if plan.memory() <= total {
            "fits".into()
        } else if plan.least_memory() <= total {
            format!("fits in {} if weights are fetched anew in every round", bytes(plan.least_memory()))
        } else {
            String::from("does not fit")
        };
        text.push_str(&format!(
            "It {verdict}: the {} {} {}.\n",
            if job.device.is_gpu() { "GPU" } else { "machine" },
            if job.has_asked_memory() { "may use" } else { "has" },
            bytes(total)
        ));
    }
    text
}

/// FLOP as people read them.
fn flop(flop: u64) -> String {
    let flop = flop as f64;
    let (scale, unit) =
        [(1e15, "P"), (1e12, "T"), (1e9, "G")].into_iter().find(|(scale, _)| flop >= *scale).unwrap_or((1e6, "M"));
    format!("{:.1} {unit}", flop / scale)
}

/// Bytes as people read them.
fn bytes(bytes: u64) -> String {
    match bytes {
        0..0x4000_0000 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}
