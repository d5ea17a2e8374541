use std::fmt;

use crate::device::options::Precision;

/// What a GPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuKind {
    /// A card with memory of its own.
    Discrete,
    /// Part of the processor, on its memory.
    Integrated,
    /// A GPU that is lent to a virtual machine.
    Virtual,
    /// No GPU: a driver that computes on the processor, far slower than this crate's own kernels.
    Software,
    /// The driver does not say.
    Other,
}

impl fmt::Display for GpuKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Software => "software",
            Self::Other => "other",
        })
    }
}

/// A kind of memory of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuHeap {
    /// How much there is.
    pub bytes: u64,
    /// Whether it is the GPU's own.
    pub local: bool,
}

/// What a GPU takes at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpuLimits {
    /// Bytes of a buffer that a binding holds: maxStorageBufferRange.
    pub buffer_range: u64,
    /// Bytes of one allocation.
    pub allocation: u64,
    /// Bytes that a workgroup shares.
    pub shared: u32,
    /// Invocations of a workgroup.
    pub invocations: u32,
}

/// The cooperative matrices that shaders multiply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CooperativeMatrix {
    /// Rows, columns and terms of one product.
    pub shape: [u32; 3],
    /// Invocations that do it together.
    pub subgroup: u32,
}

/// A GPU of this machine as its driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuInfo {
    /// Its place in the driver's list: what [`Device::vulkan`](crate::Device::vulkan) takes.
    pub index: usize,
    /// The name that the driver gives it.
    pub name: String,
    /// Who made it.
    pub vendor: String,
    /// The driver's name and version.
    pub driver: String,
    /// What it is.
    pub kind: GpuKind,
    /// Bytes of the largest heap that is the device's own.
    pub memory: u64,
    /// Whether it computes in half precision.
    pub f16: bool,
    /// Invocations that run in lockstep.
    pub subgroup: u32,
    /// The version of Vulkan.
    pub api: String,
    /// Its kinds of memory, in the driver's order.
    pub heaps: Vec<GpuHeap>,
    /// What it takes at most.
    pub limits: GpuLimits,
    /// Rows, columns and terms of the cooperative matrices that it multiplies: of F16, with sums of F32.
    pub matrices: Vec<[u32; 3]>,
    /// What it lacks, if it cannot be used.
    pub unusable: Option<String>,
}

/// As a list of devices has it: what it is, what it can do, and why it cannot be used.
impl fmt::Display for GpuInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, vendor, driver, kind, memory, f16, subgroup, api, matrices, unusable, .. } = self;
        let memory = *memory as f64 / f64::from(1 << 30);
        let half = if *f16 { "f16" } else { "no f16" };
        write!(f, "{name}; {vendor}, {kind}; {driver}, Vulkan {api}; {memory:.1} GiB; {half}")?;
        matrices.iter().try_for_each(|[m, n, k]| write!(f, ", matrices of {m}x{n}x{k}"))?;
        write!(f, "; subgroups of {subgroup}")?;
        unusable.iter().try_for_each(|why| write!(f, "; cannot be used: {why}"))
    }
}

impl GpuInfo {
    /// The precision that serves on it: half where it computes in f16, but in full on a software driver, which saves nothing
    /// by it.
    pub fn usual_precision(&self) -> Precision {
        if self.f16 && self.kind != GpuKind::Software { Precision::Half } else { Precision::Full }
    }

    /// What decides the bits of a result: the device and its driver.
    pub fn identity(&self) -> String {
        format!("{}, {}", self.name, self.driver)
    }
}
