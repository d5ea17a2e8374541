//! The user's own results: what `run` measured of a device last, for `estimate` and for `generate --plan`.

use std::fs;
use std::path::{Path, PathBuf};

use zoetrope::Device;

use crate::describe;
use crate::error::{Error, Result};
use crate::results::{self, DeviceInfo, DeviceResults, Results};

/// Rows of a device, of all suites that there are.
#[derive(Clone, Debug)]
pub struct Saved {
    /// When the last of them were measured, RFC 3339.
    pub date: String,
    /// The rows.
    pub device: DeviceResults,
}

/// Where results are kept, if the system has a place for such things.
pub fn folder() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("zoetrope/bench"))
}

/// Keeps results in a folder, a file for each device and suite, in place of older ones.
///
/// # Errors
/// [`Error::Io`].
pub fn save(folder: &Path, results: &Results) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::io("make", folder))?;
    for device in &results.devices {
        let one = Results { devices: vec![device.clone()], ..results.clone() };
        results::write(&folder.join(file_name(&device.device, results)), &one.to_json())?;
    }
    Ok(())
}

/// What is kept of a device, measured with this engine, its shaders and the device's driver; other files are ignored.
pub fn find(folder: &Path, device: &Device) -> Option<Saved> {
    let (here, engine) = (describe::info(device), results::engine());
    let mut found: Option<Saved> = None;
    for entry in fs::read_dir(folder).ok()?.flatten() {
        let Ok(Results { date, engine: of, devices, .. }) = Results::read(&entry.path()) else { continue };
        for device in devices.into_iter().filter(|device| of == engine && device.device.measures(&here)) {
            match &mut found {
                None => found = Some(Saved { date: date.clone(), device }),
                Some(saved) => {
                    saved.date = saved.date.clone().max(date.clone());
                    saved.device.peak = saved.device.peak.best(device.peak);
                    saved.device.rows.extend(device.rows);
                }
            }
        }
    }
    found
}

fn file_name(device: &DeviceInfo, results: &Results) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = device.name.chars().map(plain).collect();
    let threads = device.threads.map(|threads| format!("-{threads}")).unwrap_or_default();
    format!("{name}{threads}-{}.json", results.suite)
}
