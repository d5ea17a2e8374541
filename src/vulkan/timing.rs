//! The device's own clock.

use std::sync::Arc;

use vulkano::device::Queue;
use vulkano::query::{QueryPool, QueryPoolCreateInfo, QueryResultFlags, QueryType};

use super::open::driver;
use super::state::Vulkan;
use super::stream::Command;
use crate::error::Result;

/// Two timestamps of a queue: before some commands and after them.
struct Timestamps {
    pool: Arc<QueryPool>,
    /// The bits of a timestamp that count.
    mask: u64,
    /// Seconds of one tick.
    tick: f64,
}

impl Timestamps {
    /// None if the queue has no clock.
    fn new(queue: &Queue) -> Result<Option<Self>> {
        let device = queue.device();
        let physical = device.physical_device();
        let family = &physical.queue_family_properties()[queue.queue_family_index() as usize];
        let tick = f64::from(physical.properties().timestamp_period) * 1e-9;
        let (Some(bits), true) = (family.timestamp_valid_bits, tick > 0.0) else { return Ok(None) };
        let info = QueryPoolCreateInfo { query_count: 2, ..QueryPoolCreateInfo::query_type(QueryType::Timestamp) };
        let pool = QueryPool::new(device.clone(), info).map_err(|error| driver("read its clock", error))?;
        Ok(Some(Self { pool, mask: u64::MAX >> (64 - bits.clamp(1, 64)), tick }))
    }

    /// The command that writes the first or the second timestamp, when all commands before it are done.
    fn write(&self, index: u32) -> Command {
        Command::Timestamp { pool: self.pool.clone(), index }
    }

    /// Seconds between the timestamps, both of which are written.
    fn seconds(&self) -> Result<f64> {
        let mut times = [0u64; 2];
        let flags = QueryResultFlags::WAIT;
        self.pool.get_results(0..2, &mut times, flags).map_err(|error| driver("read its clock", error))?;
        // A clock of few bits begins anew now and then.
        let ticks = times[1].wrapping_sub(times[0]) & self.mask;
        Ok(ticks as f64 * self.tick)
    }
}

impl Vulkan {
    /// Does `work`, waits for it, and returns the seconds that it took by the device's clock, if there is one.
    pub(crate) fn timed(&self, work: impl FnOnce() -> Result<()>) -> Result<Option<f64>> {
        // What was asked for before is not counted.
        self.wait()?;
        let queue = self.line().stream.queue().clone();
        let Some(timestamps) = Timestamps::new(&queue)? else {
            work()?;
            self.wait()?;
            return Ok(None);
        };
        self.line().stream.push(timestamps.write(0), 0)?;
        work()?;
        self.line().stream.push(timestamps.write(1), 0)?;
        self.wait()?;
        timestamps.seconds().map(Some)
    }
}
