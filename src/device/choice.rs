//! Which device a person means.

use std::fmt;
use std::str::FromStr;

use super::{Device, DeviceOptions};
use crate::error::{DeviceFault, Error, Result};
use crate::vulkan::{GpuInfo, GpuKind};

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
    use crate::vulkan::GpuLimits;

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
