//! Devices by name: which one is meant, how it is opened, and the list of them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use zoetrope::{Cancel, Device, DeviceFault, DeviceOptions, Error, GpuInfo, GpuKind, Precision, Result, SimdLevel};

use crate::events::{Event, OnEvent};
use crate::memory;

/// A device by what it is called: `auto`, `cpu`, `vulkan`, `vulkan:1`, or part of a GPU's name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The best GPU that can be used, never a software driver; else the processor.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// The best GPU that can be used, a software driver if there is nothing else.
    Vulkan,
    /// The GPU of this [index](GpuInfo::index).
    Index(usize),
    /// The first GPU that has this in its name, whatever the case.
    Named(String),
}

/// A device that was chosen.
#[derive(Debug)]
pub struct Chosen {
    /// The device.
    pub device: Device,
    /// Why it is the processor, if it might have been a GPU.
    pub instead: Option<Error>,
}

/// How a device is opened beside its choice.
#[derive(Clone, Debug, Default)]
pub struct DeviceSettings {
    /// Stops the work that is begun with the device's handle.
    pub cancel: Cancel,
    /// The most bytes that it may use; all that it has if `None`.
    pub memory: Option<u64>,
    /// The processor's instruction set; the best if `None`.
    pub level: Option<SimdLevel>,
    /// Convolutions of a processor as direct sums.
    pub exact_conv: bool,
    /// The precision; the device's usual one if `None`.
    pub precision: Option<Precision>,
}

impl DeviceSettings {
    /// The engine's options for a GPU, or for the processor: memory within what this process may use, and the user's
    /// folder of pipelines and tile sizes.
    pub fn options(&self, gpu: Option<&GpuInfo>) -> DeviceOptions {
        DeviceOptions {
            // Of two limits the lower one; none is no limit.
            memory_budget: self.memory.into_iter().chain(gpu.map_or_else(memory::limit, |gpu| Some(gpu.memory))).min(),
            level: self.level,
            exact_conv: self.exact_conv,
            precision: self.precision.unwrap_or_else(|| gpu.map_or(Precision::Full, GpuInfo::usual_precision)),
            pipeline_cache: pipelines(),
            cancel: self.cancel.clone(),
            ..DeviceOptions::default()
        }
    }
}

/// Where drivers' pipelines and tile sizes are kept, if the system has a place for such things.
pub fn pipelines() -> Option<PathBuf> {
    Some(dirs::cache_dir()?.join("zoetrope/pipelines"))
}

/// Opens a device; notes which one it is where it might have been another, and warns of what makes it slow.
///
/// # Errors
/// Those of [`DeviceChoice::open`].
pub fn open(choice: &DeviceChoice, settings: &DeviceSettings, events: OnEvent) -> Result<Device> {
    let Chosen { device, instead } = choice.open(&mut |gpu| settings.options(gpu))?;
    match instead {
        None => {}
        Some(Error::Device { fault: DeviceFault::NotBuilt | DeviceFault::NoLoader | DeviceFault::Absent, .. }) => {
            events(Event::note(format!("no GPU: computing on {device}")));
        }
        Some(error) => events(Event::warning(format!("computing on {device}: {error}"))),
    }
    if let Device::Vulkan(vulkan) = &device {
        let matrices = vulkan.matrices().map(|[m, n, k]| format!(", cooperative matrices of {m}x{n}x{k}"));
        events(Event::note(format!("computing on {device}{}", matrices.unwrap_or_default())));
        let info = vulkan.info();
        if device.precision() == Precision::Half && !info.matrices.is_empty() && vulkan.matrices().is_none() {
            events(Event::warning(format!(
                "without the cooperative matrices of {}, which fail their trial or lack what they need: it will take \
                 longer; a newer driver may help",
                info.name
            )));
        }
    }
    Ok(device)
}

/// A device of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What [`DeviceChoice`] calls it: `cpu`, `vulkan:0`.
    pub id: String,
    /// What it is, in words.
    pub description: String,
    /// Whether it is a software driver that can be used: it is never chosen by itself.
    pub software: bool,
}

/// The devices of this machine, those that cannot be used among them, and why there is no GPU if there is none.
#[derive(Debug)]
pub struct Listing {
    /// The processor, then GPUs in the driver's order.
    pub devices: Vec<Listed>,
    /// Why GPUs cannot be listed.
    pub no_gpu: Option<Error>,
}

/// Lists the devices of this machine.
///
/// # Errors
/// Those of [`Device::cpu`].
pub fn list() -> Result<Listing> {
    let mut description = format!("the processor: {}", Device::cpu()?.to_string().trim_start_matches("cpu "));
    if let Some(limit) = memory::limit() {
        description.push_str(&format!("; {:.1} GiB", limit as f64 / f64::from(1 << 30)));
    }
    let mut devices = vec![Listed { id: "cpu".into(), description, software: false }];
    let gpus = Device::gpus();
    devices.extend(gpus.iter().flatten().map(|gpu| Listed {
        id: format!("vulkan:{}", gpu.index),
        description: gpu.to_string(),
        software: gpu.kind == GpuKind::Software && gpu.unusable.is_none(),
    }));
    Ok(Listing { devices, no_gpu: gpus.err() })
}

/// A line for each device: its name for `--device`, then what it is.
impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.devices.iter().try_for_each(|Listed { id, description, .. }| writeln!(f, "{id:<9} {description}"))?;
        self.no_gpu.iter().try_for_each(|error| writeln!(f, "no GPU: {error}"))
    }
}

impl DeviceChoice {
    /// Opens the device; `options` are asked for with what it turns out to be (nothing for the processor).
    ///
    /// # Errors
    /// [`Error::Device`] if a GPU was asked for that is not there or cannot be used, or none is there at all; those of
    /// [`Device::cpu_with`].
    pub fn open(&self, options: &mut dyn FnMut(Option<&GpuInfo>) -> DeviceOptions) -> Result<Chosen> {
        let mut cpu = |instead| Ok(Chosen { device: Device::cpu_with(options(None))?, instead });
        if *self == Self::Cpu {
            return cpu(None);
        }
        let gpus = match (self, Device::gpus()) {
            (Self::Auto, Err(error)) => return cpu(Some(error)),
            (_, gpus) => gpus?,
        };
        let opened = |gpu: &GpuInfo, options: DeviceOptions| {
            let device = Device::vulkan(gpu.index, options)?;
            Ok(Chosen { device, instead: None })
        };
        let gpu = match (self.pick(&gpus), self) {
            (Ok(gpu), _) => gpu,
            (Err(error), Self::Auto) => return cpu(Some(error)),
            (Err(error), _) => return Err(error),
        };
        match opened(gpu, options(Some(gpu))) {
            Err(error) if *self == Self::Auto => {
                Ok(Chosen { device: Device::cpu_with(options(None))?, instead: Some(error) })
            }
            opened => opened,
        }
    }

    /// Which of these it is.
    fn pick<'a>(&self, gpus: &'a [GpuInfo]) -> Result<&'a GpuInfo> {
        let absent = |why: String| Err(Error::Device { fault: DeviceFault::Absent, why });
        let names = || {
            let names: Vec<String> = gpus.iter().map(|gpu| format!("vulkan:{} {}", gpu.index, gpu.name)).collect();
            if names.is_empty() { "there is none at all".into() } else { format!("there are: {}", names.join("; ")) }
        };
        let best = |software: bool| {
            let usable = gpus.iter().filter(|gpu| gpu.unusable.is_none());
            let usable = usable.filter(|gpu| software || gpu.kind != GpuKind::Software);
            usable.min_by_key(|gpu| (rank(gpu.kind), std::cmp::Reverse(gpu.memory), gpu.index))
        };
        match self {
            Self::Auto | Self::Cpu => match best(false) {
                Some(gpu) => Ok(gpu),
                None => absent(format!("no GPU can be used; {}", names())),
            },
            Self::Vulkan => match best(true) {
                Some(gpu) => Ok(gpu),
                None => absent(format!("no GPU can be used; {}; install a driver or take cpu", names())),
            },
            Self::Index(index) => match gpus.iter().find(|gpu| gpu.index == *index) {
                Some(gpu) => Ok(gpu),
                None => absent(format!("vulkan:{index} is not there; {}", names())),
            },
            Self::Named(part) => {
                let part = part.to_lowercase();
                match gpus.iter().find(|gpu| gpu.name.to_lowercase().contains(&part)) {
                    Some(gpu) => Ok(gpu),
                    None => absent(format!("no GPU has {part:?} in its name; {}; or take auto or cpu", names())),
                }
            }
        }
    }
}

/// Which kind comes first.
fn rank(kind: GpuKind) -> u8 {
    match kind {
        GpuKind::Discrete => 0,
        GpuKind::Virtual => 1,
        GpuKind::Integrated => 2,
        GpuKind::Other => 3,
        GpuKind::Software => 4,
    }
}

impl FromStr for DeviceChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let choices = "choose auto, cpu, vulkan, vulkan:N or part of a GPU's name";
            Err(Error::Request { what: "device", why: format!("{why}; {choices}") })
        };
        match text.trim().to_lowercase().as_str() {
            "" => refuse("it has no name"),
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "vulkan" => Ok(Self::Vulkan),
            lower => match lower.strip_prefix("vulkan:").map(str::parse) {
                Some(Ok(index)) => Ok(Self::Index(index)),
                Some(Err(_)) => refuse(&format!("{text:?} has no number")),
                None => Ok(Self::Named(text.trim().to_owned())),
            },
        }
    }
}

/// As it is written.
impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Vulkan => f.write_str("vulkan"),
            Self::Index(index) => write!(f, "vulkan:{index}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zoetrope::GpuLimits;

    fn gpu(index: usize, name: &str, kind: GpuKind, unusable: bool) -> GpuInfo {
        GpuInfo {
            index,
            name: name.into(),
            vendor: "V".into(),
            driver: "1".into(),
            kind,
            memory: 1 << 30,
            f16: true,
            subgroup: 32,
            api: "1.3".into(),
            heaps: Vec::new(),
            limits: GpuLimits::default(),
            matrices: Vec::new(),
            unusable: unusable.then(|| "old".into()),
        }
    }

    #[test]
    fn software_is_the_last_choice_and_never_automatic() {
        let software = gpu(0, "llvmpipe", GpuKind::Software, false);
        let picked = |choice: &str, gpus: &[GpuInfo]| {
            choice.parse::<DeviceChoice>().unwrap().pick(gpus).map(|gpu| gpu.index).ok()
        };
        let alone = [software.clone()];
        assert_eq!(
            ["auto", "vulkan", "vulkan:0", "PIPE", "other"].map(|c| picked(c, &alone)),
            [None, Some(0), Some(0), Some(0), None]
        );
        let more = [
            software,
            gpu(1, "Small", GpuKind::Integrated, false),
            gpu(2, "Old", GpuKind::Discrete, true),
            gpu(3, "Card", GpuKind::Discrete, false),
        ];
        assert_eq!(
            ["auto", "vulkan", "vulkan:1", "old", "vulkan:4"].map(|c| picked(c, &more)),
            [Some(3), Some(3), Some(1), Some(2), None]
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["auto", "cpu", "vulkan", "vulkan:3", "Radeon RX 7800"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        assert!(["", "vulkan:x", "vulkan:"].iter().all(|text| text.parse::<DeviceChoice>().is_err()));
    }
}
