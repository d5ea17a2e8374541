//! Compiled shaders, and the driver's own form of them on disk.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hmac_sha256::Hash as Sha256;
use vulkano::descriptor_set::layout::{
    DescriptorSetLayout, DescriptorSetLayoutBinding, DescriptorSetLayoutCreateInfo, DescriptorType,
};
use vulkano::device::Device;
use vulkano::device::physical::PhysicalDevice;
use vulkano::pipeline::cache::{PipelineCache, PipelineCacheCreateInfo};
use vulkano::pipeline::compute::ComputePipelineCreateInfo;
use vulkano::pipeline::layout::{PipelineLayout, PipelineLayoutCreateInfo, PushConstantRange};
use vulkano::pipeline::{ComputePipeline, PipelineShaderStageCreateInfo};
use vulkano::shader::spirv::bytes_to_words;
use vulkano::shader::{ShaderModule, ShaderModuleCreateInfo, ShaderStages, SpecializationConstant};

use super::open::{PUSH_BYTES, driver, fault};
use super::shaders::Shader;
use crate::device::tuning::Tuning;
use crate::error::{DeviceFault, Result};

/// Pipelines of a shader, by their specialization constants.
type Variants = Vec<(Vec<(u32, u32)>, Arc<ComputePipeline>)>;

/// The pipelines of a device.
pub(super) struct Pipelines {
    device: Arc<Device>,
    modules: HashMap<&'static str, Arc<ShaderModule>>,
    /// One layout for each number of bindings.
    layouts: HashMap<u32, Arc<PipelineLayout>>,
    compiled: HashMap<&'static str, Variants>,
    cache: Option<Arc<PipelineCache>>,
    file: Option<PathBuf>,
    /// Whether there is more to save than was loaded.
    grown: bool,
    /// Invocations of a subgroup, for shaders that count on them.
    subgroup: Option<u32>,
}

impl Pipelines {
    /// No pipelines yet; `folder` holds what the driver made of them in earlier runs, `subgroup` is that of cooperative matrices.
    pub fn new(device: &Arc<Device>, folder: Option<&Path>, subgroup: Option<u32>) -> Self {
        let file = folder.map(|folder| folder.join(file_name(device.physical_device(), "pipelines")));
        let found = file.as_deref().and_then(|file| load(file, device));
        let info = PipelineCacheCreateInfo { initial_data: found.unwrap_or_default(), ..Default::default() };
        // SAFETY: `load` returns only what `save` wrote, by its hash, and what this driver had made, by its header.
        let cache = unsafe { PipelineCache::new(device.clone(), info) }.ok();
        let (modules, layouts, compiled) = Default::default();
        Self { device: device.clone(), modules, layouts, compiled, cache, file, grown: false, subgroup }
    }

    /// The pipeline of a shader, compiled when it is first asked for.
    pub fn get(&mut self, shader: &'static Shader, constants: &[(u32, u32)]) -> Result<Arc<ComputePipeline>> {
        // A model has a few of each: to look at all is quicker than to make a key.
        let variants = self.compiled.get(shader.name).into_iter().flatten();
        if let Some((_, pipeline)) = variants.into_iter().find(|(own, _)| own == constants) {
            return Ok(pipeline.clone());
        }
        let layout = self.layout(shader.bindings)?;
        let module = self.module(shader)?;
        // Constants are of the type that the shader declares; what it does not use is not there.
        let value = |&(id, value): &(u32, u32)| match module.specialization_constants().get(&id)? {
            SpecializationConstant::U32(_) => Some((id, SpecializationConstant::U32(value))),
            SpecializationConstant::I32(_) => Some((id, SpecializationConstant::I32(value as i32))),
            SpecializationConstant::Bool(_) => Some((id, SpecializationConstant::Bool(value != 0))),
            _ => None,
        };
        let values = constants.iter().filter_map(value).collect();
        let compile = || -> std::result::Result<_, String> {
            let entry = module.specialize(values).map_err(|error| error.to_string())?.entry_point("main");
            let stage = PipelineShaderStageCreateInfo {
                required_subgroup_size: self.subgroup.filter(|_| shader.cooperative),
                ..PipelineShaderStageCreateInfo::new(entry.ok_or("it has no entry point main")?)
            };
            let info = ComputePipelineCreateInfo::stage_layout(stage, layout);
            ComputePipeline::new(self.device.clone(), self.cache.clone(), info).map_err(|error| error.to_string())
        };
        let pipeline = compile().map_err(|error| refused(shader, &error))?;
        self.grown = true;
        self.compiled.entry(shader.name).or_default().push((constants.to_vec(), pipeline.clone()));
        Ok(pipeline)
    }

    /// Saves tile sizes for this device and driver.
    pub fn save_tuning(&self, folder: &Path, tuning: &Tuning) -> std::io::Result<PathBuf> {
        let file = folder.join(file_name(self.device.physical_device(), "cuts"));
        save(&file, tuning.to_text().as_bytes())?;
        Ok(file)
    }

    fn module(&mut self, shader: &'static Shader) -> Result<Arc<ShaderModule>> {
        if let Some(module) = self.modules.get(shader.name) {
            return Ok(module.clone());
        }
        let words = bytes_to_words(shader.code).map_err(|error| refused(shader, &error.to_string()))?;
        // SAFETY: the words are those of the repository, which its compiler made and its manifest's hashes guard.
        let module = unsafe { ShaderModule::new(self.device.clone(), ShaderModuleCreateInfo::new(&words)) };
        let module = module.map_err(|error| refused(shader, &error.to_string()))?;
        self.modules.insert(shader.name, module.clone());
        Ok(module)
    }

    fn layout(&mut self, bindings: u32) -> Result<Arc<PipelineLayout>> {
        if let Some(layout) = self.layouts.get(&bindings) {
            return Ok(layout.clone());
        }
        let binding = DescriptorSetLayoutBinding {
            stages: ShaderStages::COMPUTE,
            ..DescriptorSetLayoutBinding::descriptor_type(DescriptorType::StorageBuffer)
        };
        let bindings_of = (0..bindings).map(|i| (i, binding.clone())).collect();
        let info = DescriptorSetLayoutCreateInfo { bindings: bindings_of, ..Default::default() };
        let set =
            DescriptorSetLayout::new(self.device.clone(), info).map_err(|error| driver("lay out bindings", error))?;
        let range = PushConstantRange { stages: ShaderStages::COMPUTE, offset: 0, size: PUSH_BYTES };
        let info = PipelineLayoutCreateInfo {
            set_layouts: vec![set],
            push_constant_ranges: vec![range],
            ..Default::default()
        };
        let layout =
            PipelineLayout::new(self.device.clone(), info).map_err(|error| driver("lay out bindings", error))?;
        self.layouts.insert(bindings, layout.clone());
        Ok(layout)
    }
}

/// The tile sizes that were saved for a device and its driver.
pub(super) fn tuning(folder: &Path, device: &PhysicalDevice) -> Option<Tuning> {
    let file = folder.join(file_name(device, "cuts"));
    // Far more than all classes.
    let short = fs::metadata(&file).ok()?.len() < 1 << 16;
    Tuning::from_text(&fs::read_to_string(file).ok().filter(|_| short)?)
}

impl Drop for Pipelines {
    fn drop(&mut self) {
        let (Some(file), Some(cache), true) = (&self.file, &self.cache, self.grown) else { return };
        if let Ok(data) = cache.get_data()
            && belongs(&data, self.device.physical_device())
        {
            // If it cannot be written, the next run compiles anew.
            let _ = save(file, &[MAGIC, &Sha256::hash(&data), &data].concat());
        }
    }
}

fn refused(shader: &Shader, why: &str) -> crate::Error {
    fault(
        DeviceFault::Driver,
        format!("cannot compile the shader {}: {why}; update the driver or take --device cpu", shader.name),
    )
}

/// What our files begin with; the hash of the rest follows.
const MAGIC: &[u8] = b"zoetrope pipelines 1\n";
/// Far more than all pipelines of any driver.
const MAX_BYTES: u64 = 64 << 20;

fn file_name(device: &PhysicalDevice, ending: &str) -> String {
    let properties = device.properties();
    let uuid: String = properties.pipeline_cache_uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{:04x}-{:04x}-{uuid}.{ending}", properties.vendor_id, properties.device_id)
}

/// What was saved for this device and driver; nothing if it is foreign or damaged.
fn load(file: &Path, device: &Device) -> Option<Vec<u8>> {
    if fs::metadata(file).ok()?.len() > MAX_BYTES {
        return None;
    }
    let bytes = fs::read(file).ok()?;
    let (hash, data) = bytes.strip_prefix(MAGIC)?.split_at_checked(32)?;
    (Sha256::hash(data) == hash && belongs(data, device.physical_device())).then(|| data.to_vec())
}

/// Whether data begins as a cache of this device and driver does (VkPipelineCacheHeaderVersionOne); some drivers give less.
fn belongs(data: &[u8], device: &PhysicalDevice) -> bool {
    let word = |i: usize| data.get(4 * i..).and_then(|rest| rest.first_chunk()).map(|bytes| u32::from_le_bytes(*bytes));
    let properties = device.properties();
    word(0).is_some_and(|len| len >= 32)
        && word(1) == Some(1)
        && word(2) == Some(properties.vendor_id)
        && word(3) == Some(properties.device_id)
        && data.get(16..32).is_some_and(|uuid| uuid == properties.pipeline_cache_uuid)
}

/// Writes a file that appears when it is complete.
fn save(file: &Path, data: &[u8]) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let partial = file.with_extension(format!("partial-{}", std::process::id()));
    let written = fs::write(&partial, data);
    let written = written.and_then(|()| fs::rename(&partial, file));
    if written.is_err() {
        let _ = fs::remove_file(partial);
    }
    written
}
