//! What machine this is, as far as it says so; systems that do not say leave gaps.

use std::fs;

use serde::{Deserialize, Serialize};

/// The machine that devices are in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// The system's name and version.
    pub os: String,
    /// Its processor architecture.
    pub arch: String,
    /// The processor's name.
    pub cpu: Option<String>,
    /// Threads that it runs at a time.
    pub cores: usize,
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Threads that wanted to run in the last minute when the run began: those of others disturb it.
    pub load: Option<f64>,
}

impl Host {
    /// This machine.
    pub fn here() -> Self {
        let read = |path| fs::read_to_string(path).ok();
        let release = read("/etc/os-release");
        let release = release.as_deref().and_then(|text| field(text, "PRETTY_NAME", '='));
        let kernel = read("/proc/sys/kernel/osrelease");
        let system = release.as_deref().unwrap_or(std::env::consts::OS);
        let os = match kernel.as_deref().map(str::trim) {
            Some(kernel) => format!("{system}, {} {kernel}", std::env::consts::OS),
            None => system.to_owned(),
        };
        let info = read("/proc/cpuinfo");
        let load = read("/proc/loadavg").and_then(|text| text.split(' ').next()?.parse().ok());
        Self {
            os,
            arch: std::env::consts::ARCH.to_owned(),
            cpu: info.as_deref().and_then(|text| field(text, "model name", ':')),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: read("/proc/meminfo").and_then(|text| kilobytes(&field(&text, "MemTotal", ':')?)),
            load,
        }
    }
}

/// The fastest core's clock in MHz.
pub fn clock() -> Option<f64> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let clocks = info.lines().filter_map(|line| field(line, "cpu MHz", ':')?.parse().ok());
    clocks.max_by(f64::total_cmp)
}

/// Bytes of the processor's last cache; what is common where the system does not say.
pub fn cache() -> u64 {
    const COMMON: u64 = 32 << 20;
    let level = |index: usize| {
        let size = fs::read_to_string(format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size")).ok()?;
        cache_size(size.trim())
    };
    (0..8).filter_map(level).max().unwrap_or(COMMON)
}

fn cache_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.len().checked_sub(1)?);
    match unit {
        "K" => number.parse::<u64>().ok().map(|number| number << 10),
        "M" => number.parse::<u64>().ok().map(|number| number << 20),
        _ => None,
    }
}

/// What stands behind the name of the first line that begins with it, without quotes.
fn field(text: &str, name: &str, separator: char) -> Option<String> {
    let value = |line: &str| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim().trim_matches('"').to_owned())
    };
    text.lines().find_map(value).filter(|value| !value.is_empty())
}

fn kilobytes(text: &str) -> Option<u64> {
    text.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_names() {
        let text = "NAME=\"a\"\nPRETTY_NAME=\"Some System 12\"\nmodel name\t: A CPU\nMemTotal:  2048 kB\n";
        assert_eq!(field(text, "PRETTY_NAME", '=').as_deref(), Some("Some System 12"));
        assert_eq!(field(text, "model name", ':').as_deref(), Some("A CPU"));
        assert_eq!(kilobytes(&field(text, "MemTotal", ':').unwrap()), Some(2 << 20));
        assert_eq!(field(text, "model", ':'), None);
        assert_eq!((cache_size("512K"), cache_size("32M"), cache_size("")), (Some(512 << 10), Some(32 << 20), None));
    }
}
