//! What the device is to do, recorded late: commands pile up, with the barriers that their buffers need, until enough are
//! there or somebody waits for numbers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use smallvec::SmallVec;
use vulkano::VulkanObject;
use vulkano::buffer::Subbuffer;
use vulkano::command_buffer::allocator::StandardCommandBufferAllocator;
use vulkano::command_buffer::{
    BufferCopy, CommandBuffer, CommandBufferBeginInfo, CommandBufferLevel, CommandBufferUsage, CopyBufferInfo,
    RecordingCommandBuffer,
};
use vulkano::descriptor_set::WriteDescriptorSet;
use vulkano::descriptor_set::allocator::StandardDescriptorSetAllocator;
use vulkano::descriptor_set::sys::RawDescriptorSet;
use vulkano::device::{Device, Queue};
use vulkano::pipeline::{ComputePipeline, Pipeline, PipelineBindPoint};
use vulkano::query::QueryPool;
use vulkano::sync::fence::{Fence, FenceCreateInfo};
use vulkano::sync::{AccessFlags, DependencyInfo, MemoryBarrier, PipelineStage, PipelineStages};
use vulkano::{Validated, VulkanError};

use super::memory::Block;
use super::open::{PUSH_BYTES, driver, fault};
use crate::error::{DeviceFault, Result};

/// Push constants are always written as a whole.
pub(super) type Push = [u32; PUSH_BYTES as usize / 4];

/// A submission of so many commands is worth its overhead.
const COMMANDS: usize = 256;
/// Submissions that may be under way: one runs while the next waits and a third is recorded.
const UNDER_WAY: usize = 2;
/// A submission that took longer, with those before it, was too much at a time; after a shorter one, there may be more.
const LONG: Duration = Duration::from_millis(300);
const SHORT: Duration = Duration::from_millis(30);
/// How much more there may be: what comes next may be several times as slow for its cost.
const GROWTH: u64 = 32;
/// A device that has not finished a submission after this time never will: drivers give up after seconds, and software
/// needs minutes at most for what is submitted at a time.
const PATIENCE: Duration = Duration::from_secs(600);

/// Whether this build records no barriers: one that `tools/validation` makes to see that the validation layer notices.
const CARELESS: bool = option_env!("ZOETROPE_NO_BARRIERS").is_some();

/// Something for the device to do. It holds what it uses, so that all of that lives until it is done.
pub(super) enum Command {
    Dispatch(Box<Launch>),
    Copy {
        from: Subbuffer<[u8]>,
        to: Subbuffer<[u8]>,
    },
    Zero(Subbuffer<[u8]>),
    /// All before, then all after.
    Barrier,
    /// What was copied before can be read by the processor when this is done.
    ToHost,
    /// Writes the time when all before is done.
    Timestamp {
        pool: Arc<QueryPool>,
        index: u32,
    },
}

/// A dispatch: a shader's pipeline, its bindings and its push constants.
pub(super) struct Launch {
    pub pipeline: Arc<ComputePipeline>,
    pub buffers: SmallVec<[Subbuffer<[u8]>; 8]>,
    pub push: Push,
    pub groups: [u32; 3],
}

/// Commands that the device was given.
struct Submission {
    fence: Fence,
    cost: u64,
    since: Instant,
    /// Kept until the fence says that the device is done with them.
    _buffer: CommandBuffer,
    _sets: Vec<RawDescriptorSet>,
    _commands: Vec<Command>,
}

/// The commands of one queue in their order.
pub(super) struct Stream {
    device: Arc<Device>,
    queue: Arc<Queue>,
    command_buffers: Arc<StandardCommandBufferAllocator>,
    descriptor_sets: Arc<StandardDescriptorSetAllocator>,
    commands: Vec<Command>,
    /// FLOP and bytes of the commands.
    cost: u64,
    /// The most that one submission may cost, and the least that this is.
    most: u64,
    least: u64,
    under_way: VecDeque<Submission>,
    /// Submissions that are done.
    done: u64,
    /// The number of the last barrier.
    barrier: u64,
    lost: bool,
}

impl Stream {
    /// An empty stream whose submissions cost at most about `most`, or more on a device that is quick.
    pub fn new(device: &Arc<Device>, queue: Arc<Queue>, most: u64) -> Self {
        Self {
            device: device.clone(),
            queue,
            command_buffers: Arc::new(StandardCommandBufferAllocator::new(device.clone(), Default::default())),
            descriptor_sets: Arc::new(StandardDescriptorSetAllocator::new(device.clone(), Default::default())),
            commands: Vec::new(),
            cost: 0,
            most,
            least: most,
            under_way: VecDeque::new(),
            done: 0,
            // Fresh buffers are at 0: what they hold concerns nobody.
            barrier: 1,
            lost: false,
        }
    }

    /// The most that one dispatch may cost.
    pub fn most(&self) -> u64 {
        self.most
    }

    /// The queue that it submits to.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Puts a barrier before uses of buffers, each with whether it writes, if one of them needs it.
    pub fn order(&mut self, uses: &[(&Block, bool)]) {
        if uses.iter().any(|(block, writes)| block.hazard(self.barrier, *writes)) {
            self.commands.push(Command::Barrier);
            self.barrier += 1;
        }
        uses.iter().for_each(|(block, writes)| block.mark(self.barrier, *writes));
    }

    /// The number of the submission that the next command goes into, counted from 1.
    pub fn next(&self) -> u64 {
        self.done + self.under_way.len() as u64 + 1
    }

    /// How many submissions are known to be done.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Adds a command; submits if there are enough.
    pub fn push(&mut self, command: Command, cost: u64) -> Result<()> {
        self.commands.push(command);
        self.cost = self.cost.saturating_add(cost);
        if self.commands.len() >= COMMANDS || self.cost >= self.most { self.flush() } else { Ok(()) }
    }

    /// Hands all commands so far to the device.
    pub fn flush(&mut self) -> Result<()> {
        if self.lost {
            return Err(driver("go on", VulkanError::DeviceLost));
        }
        if self.commands.is_empty() {
            return Ok(());
        }
        let commands = std::mem::take(&mut self.commands);
        let cost = std::mem::take(&mut self.cost);
        let outcome = self.submit(commands, cost);
        self.lost |= outcome.is_err();
        outcome?;
        while self.under_way.len() > UNDER_WAY {
            self.wait_for_oldest()?;
        }
        Ok(())
    }

    /// Waits until everything that was recorded so far is done.
    pub fn wait(&mut self) -> Result<()> {
        self.flush()?;
        while !self.under_way.is_empty() {
            self.wait_for_oldest()?;
        }
        Ok(())
    }

    /// Submits what there is and waits for a submission to be done; later ones go on.
    pub fn wait_for(&mut self, submission: u64) -> Result<()> {
        self.flush()?;
        while self.done < submission && !self.under_way.is_empty() {
            self.wait_for_oldest()?;
        }
        Ok(())
    }

    /// Waits for one submission, the oldest, to be done.
    pub fn wait_for_oldest(&mut self) -> Result<()> {
        let Some(oldest) = self.under_way.front() else { return Ok(()) };
        let waited = oldest.fence.wait(Some(PATIENCE)).map_err(|error| match error {
            VulkanError::Timeout => {
                fault(DeviceFault::Lost, "it has not answered for minutes; try less at a time or --device cpu")
            }
            error => driver("compute", error),
        });
        let (cost, took) = (oldest.cost, oldest.since.elapsed());
        if waited.is_err() {
            self.lost = true;
        } else {
            self.under_way.pop_front();
            self.done += 1;
            self.adapt(cost, took);
        }
        waited
    }

    /// Has submissions last as long as is worth their overhead, and no longer.
    fn adapt(&mut self, cost: u64, took: Duration) {
        if took > LONG {
            self.most = (self.most / 2).max(self.least);
        } else if took < SHORT && cost >= self.most / 2 {
            self.most = (self.most * 2).min(self.least.saturating_mul(GROWTH));
        }
    }

    /// Records the commands and submits them.
    fn submit(&mut self, commands: Vec<Command>, cost: u64) -> Result<()> {
        let info = CommandBufferBeginInfo { usage: CommandBufferUsage::OneTimeSubmit, ..Default::default() };
        let (allocator, family) = (self.command_buffers.clone(), self.queue.queue_family_index());
        let recording = RecordingCommandBuffer::new(allocator, family, CommandBufferLevel::Primary, info);
        let mut recording = recording.map_err(|error| driver("record", error))?;
        let mut sets = Vec::new();
        for command in &commands {
            self.record(&mut recording, command, &mut sets)?;
        }
        // SAFETY: `record` has begun no render pass or query that would have to be ended.
        let buffer = unsafe { recording.end() }.map_err(|error| driver("record", error))?;
        let fence =
            Fence::new(self.device.clone(), FenceCreateInfo::default()).map_err(|error| driver("submit", error))?;
        let handle = buffer.handle();
        let info = ash::vk::SubmitInfo { command_buffer_count: 1, p_command_buffers: &handle, ..Default::default() };
        let submit = self.device.fns().v1_0.queue_submit;
        let outcome = self.queue.with(|_| {
            // SAFETY: `with` locks the queue; the pointers are to locals; the command buffer is recorded, is submitted
            // this once, and lives in `under_way` with all that it uses until its fence, which is new, has been waited
            // for.
            unsafe { submit(self.queue.handle(), 1, &info, fence.handle()) }
        });
        outcome.result().map_err(|error| driver("submit", VulkanError::from(error)))?;
        self.under_way.push_back(Submission {
            fence,
            cost,
            since: Instant::now(),
            _buffer: buffer,
            _sets: sets,
            _commands: commands,
        });
        Ok(())
    }

    /// Records one command; the descriptor set that it takes goes into `sets`.
    fn record(
        &self,
        recording: &mut RecordingCommandBuffer,
        command: &Command,
        sets: &mut Vec<RawDescriptorSet>,
    ) -> Result<()> {
        let invalid = |error: Box<vulkano::ValidationError>| driver("record", Validated::ValidationError(error));
        // SAFETY, for every command: vulkano's checks run. What a command uses lives in `commands`, and that until it is
        // done. A command that may touch what an earlier one touches comes after a barrier, by `Block::hazard`.
        match command {
            Command::Dispatch(launch) => {
                let Launch { pipeline, buffers, push, groups } = &**launch;
                let layout = pipeline.layout();
                let set = RawDescriptorSet::new(self.descriptor_sets.clone(), &layout.set_layouts()[0], 0);
                let set = set.map_err(|error| driver("bind buffers", error))?;
                let write = |(binding, buffer): (usize, &Subbuffer<[u8]>)| {
                    WriteDescriptorSet::buffer(binding as u32, buffer.clone())
                };
                let writes: SmallVec<[_; 8]> = buffers.iter().enumerate().map(write).collect();
                // SAFETY: as above; the set is new, so that no command buffer uses it.
                unsafe { set.update(&writes, &[]) }.map_err(invalid)?;
                // SAFETY: as above; every binding of the layout has been written, and all of the push constants.
                unsafe {
                    recording.bind_pipeline_compute(pipeline).map_err(invalid)?;
                    recording
                        .bind_descriptor_sets(PipelineBindPoint::Compute, layout, 0, &[&set], &[])
                        .map_err(invalid)?;
                    recording.push_constants(layout, 0, push).map_err(invalid)?;
                    recording.dispatch(*groups).map_err(invalid)?;
                }
                sets.push(set);
            }
            Command::Copy { from, to } => {
                let region = BufferCopy {
                    src_offset: from.offset(),
                    dst_offset: to.offset(),
                    size: from.size(),
                    ..Default::default()
                };
                let whole = |part: &Subbuffer<[u8]>| Subbuffer::new(part.buffer().clone());
                let info = CopyBufferInfo {
                    regions: SmallVec::from_elem(region, 1),
                    ..CopyBufferInfo::buffers(whole(from), whole(to))
                };
                // SAFETY: as above.
                unsafe { recording.copy_buffer(&info) }.map_err(invalid)?;
            }
            Command::Zero(buffer) => {
                // SAFETY: as above.
                unsafe { recording.fill_buffer(buffer.reinterpret_ref::<[u32]>(), 0) }.map_err(invalid)?;
            }
            Command::Barrier if CARELESS => {}
            Command::Barrier => {
                let stages = PipelineStages::COMPUTE_SHADER | PipelineStages::ALL_TRANSFER;
                let writes = AccessFlags::SHADER_WRITE | AccessFlags::TRANSFER_WRITE;
                let reads = AccessFlags::SHADER_READ | AccessFlags::TRANSFER_READ;
                // SAFETY: as above.
                unsafe { recording.pipeline_barrier(&between((stages, writes), (stages, reads | writes))) }
                    .map_err(invalid)?;
            }
            Command::ToHost => {
                let (from, to) = (AccessFlags::TRANSFER_WRITE, AccessFlags::HOST_READ);
                let both = between((PipelineStages::ALL_TRANSFER, from), (PipelineStages::HOST, to));
                // SAFETY: as above.
                unsafe { recording.pipeline_barrier(&both) }.map_err(invalid)?;
            }
            Command::Timestamp { pool, index } => {
                // SAFETY: as above; whoever writes a timestamp does so once before it is read, and reads it when it is done.
                unsafe {
                    recording.reset_query_pool(pool, *index..index + 1).map_err(invalid)?;
                    recording.write_timestamp(pool, *index, PipelineStage::BottomOfPipe).map_err(invalid)?;
                }
            }
        }
        Ok(())
    }
}

/// A barrier on all memory.
fn between(before: (PipelineStages, AccessFlags), after: (PipelineStages, AccessFlags)) -> DependencyInfo {
    let barrier = MemoryBarrier {
        src_stages: before.0,
        src_access: before.1,
        dst_stages: after.0,
        dst_access: after.1,
        ..Default::default()
    };
    DependencyInfo { memory_barriers: SmallVec::from_elem(barrier, 1), ..Default::default() }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // What is under way still uses the buffers. A device that was lost is done with everything.
        for submission in self.under_way.drain(..) {
            if submission.fence.wait(Some(PATIENCE)) == Err(VulkanError::Timeout) {
                std::mem::forget(submission);
            }
        }
    }
}
