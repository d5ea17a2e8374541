//! Every op of a device against the oracle of the tests: which one a bad driver gets wrong.

use program::devices;
use zoetrope::{Cancel, Device, DeviceFault, Error, Precision, Result};

use crate::args::Args;
use crate::report::Report;
use crate::stdout::print;

#[path = "../../../tests/common/mod.rs"]
mod common;
#[path = "../../../tests/on_device/mod.rs"]
mod on_device;

use on_device::Outcome;

/// Runs all cases of ops with `only` in their names and prints a line for each op.
///
/// # Errors
/// [`Error::Request`] if there is no such op; [`Error::Device`] naming the ops that are beyond their limit, after all lines are printed.
pub fn run(args: &Args, only: &str) -> Result<()> {
    let named = |(op, _): &&(&str, on_device::Check)| op.contains(only);
    if !on_device::ALL.iter().chain(on_device::F16).any(|op| named(&op)) {
        let names: Vec<&str> = on_device::ALL.iter().map(|(op, _)| *op).collect();
        let why = format!("there is no {only:?}; choose of {}", names.join(", "));
        return Err(Error::Request { what: "self-test", why });
    }
    let (choice, settings) = (args.device.clone().unwrap_or_default(), args.device_settings(Cancel::default()));
    let mut report = Report::new(args.quiet, false);
    let device = devices::open(&choice, &settings, &mut |event| report.event(&event))?;
    print(format!("{device}\n{:<18} {:>5} {:>10} {:>9}\n", "op", "cases", "error", "time").as_bytes())?;
    let mut wrong = Vec::new();
    let f16 = if device.precision() == Precision::Half { on_device::F16 } else { &[] };
    for (op, check) in on_device::ALL.iter().chain(f16).filter(named) {
        let (text, right) = line(op, *check, &device);
        print(text.as_bytes())?;
        if !right {
            wrong.push(*op);
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let why = format!("{device} gets {} wrong; update its driver or take --device cpu", wrong.join(", "));
    Err(Error::Device { fault: DeviceFault::Driver, why })
}

/// The line of an op, the cases that are wrong below it, and whether there are none.
fn line(op: &str, check: on_device::Check, device: &Device) -> (String, bool) {
    let (mut cases, mut error, mut seconds, mut wrong) = (0, 0.0, 0.0, Vec::new());
    check(device, &mut |outcome: Outcome| {
        cases += 1;
        // A NaN, which a failure has, does not raise the largest.
        error = outcome.error.max(error);
        seconds += outcome.seconds;
        if let Err(why) = outcome.verdict {
            wrong.push(format!("  wrong: {}: {why}\n", outcome.case));
        }
    });
    let line = format!(
        "{op:<18} {cases:>5} {error:>10.1e} {:>6.0} ms{}\n",
        seconds * 1e3,
        if wrong.is_empty() { "" } else { "  WRONG" }
    );
    (line + &wrong.concat(), wrong.is_empty())
}
