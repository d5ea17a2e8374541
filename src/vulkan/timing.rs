//! The device's own clock.

use std::sync::Arc;

use vulkano::device::{Device, Queue};
use vulkano::query::{QueryPool, QueryPoolCreateInfo, QueryResultFlags, QueryType};

use super::handle::Vulkan;
use super::open::driver;
use super::stream::Command;
use crate::error::Result;

/// Two moments on a queue's clock: before some commands and after them.
pub(super) struct Moments {
    pool: Arc<QueryPool>,
    /// The bits of a moment that count.
    mask: u64,
    /// Seconds of one tick.
    tick: f64,
}

impl Moments {
    /// None if the queue has no clock.
    pub fn new(device: &Arc<Device>, queue: &Queue) -> Result<Option<Self>> {
        let physical = device.physical_device();
        let family = &physical.queue_family_properties()[queue.queue_family_index() as usize];
        let tick = f64::from(physical.properties().timestamp_period) * 1e-9;
        let (Some(bits), true) = (family.timestamp_valid_bits, tick > 0.0) else { return Ok(None) };
        let info = QueryPoolCreateInfo { query_count: 2, ..QueryPoolCreateInfo::query_type(QueryType::Timestamp) };
        let pool = QueryPool::new(device.clone(), info).map_err(|error| driver("read its clock", error))?;
        Ok(Some(Self { pool, mask: u64::MAX >> (64 - bits.clamp(1, 64)), tick }))
    }

    /// The command that notes the first or the second moment, when all commands before it are done.
    fn note(&self, which: u32) -> Command {
        Command::Moment { pool: self.pool.clone(), which }
    }

    /// Seconds between the moments, both of which are past.
    fn seconds(&self) -> Result<f64> {
        let mut moments = [0u64; 2];
        let flags = QueryResultFlags::WAIT;
        self.pool.get_results(0..2, &mut moments, flags).map_err(|error| driver("read its clock", error))?;
        // A clock of few bits begins anew now and then.
        let ticks = moments[1].wrapping_sub(moments[0]) & self.mask;
        Ok(ticks as f64 * self.tick)
    }
}

impl Vulkan {
    /// Does `work`, waits for it, and tells what it took by the device's clock, if there is one.
    pub(crate) fn timed(&self, work: impl FnOnce() -> Result<()>) -> Result<Option<f64>> {
        // What was asked for before is not counted.
        self.wait()?;
        let Some(moments) = self.line().stream.moments()? else {
            work()?;
            self.wait()?;
            return Ok(None);
        };
        self.line().stream.push(moments.note(0), 0)?;
        work()?;
        self.line().stream.push(moments.note(1), 0)?;
        self.wait()?;
        moments.seconds().map(Some)
    }
}
