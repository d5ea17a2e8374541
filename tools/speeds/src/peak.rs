//! The highest rates of a device, as `kernel-bench` measures them: datasheets promise what nobody gets.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a device can do at most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    /// FLOP a second of multiplications and additions in registers, F32.
    pub flops: Option<f64>,
    /// The same for each second that a thread ran.
    pub thread_flops: Option<f64>,
    /// FLOP a second of multiplications and additions of F16 in pairs, on a GPU that has them; files of earlier versions
    /// have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_flops: Option<f64>,
    /// FLOP a second of products of F16 matrices with sums of F32, where cooperative matrices do them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matrix_flops: Option<f64>,
    /// Bytes a second that a copy reads and writes, past all caches.
    pub bytes: f64,
    /// Bytes of memory that the system gives to a thread a second, a page when it is first written to; of a processor, and
    /// files of earlier versions have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fresh: Option<f64>,
}

impl Peak {
    /// The better of two measurements: nothing is faster than it can be.
    pub fn best(self, other: Self) -> Self {
        let higher = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.max(b)).or(a).or(b);
        Self {
            flops: higher(self.flops, other.flops),
            thread_flops: higher(self.thread_flops, other.thread_flops),
            half_flops: higher(self.half_flops, other.half_flops),
            matrix_flops: higher(self.matrix_flops, other.matrix_flops),
            bytes: self.bytes.max(other.bytes),
            fresh: higher(self.fresh, other.fresh),
        }
    }

    /// The peak of what cooperative matrices do.
    pub fn of_matrices(self) -> Self {
        Self { flops: self.matrix_flops, thread_flops: None, ..self }
    }

    /// Seconds that nothing can stay below, and what sets them; `None` where the rate is not known.
    pub fn bound(&self, flop: f64, bytes: f64) -> Option<(f64, Limit)> {
        // Work that takes this many operations on a byte is no question of memory, on any device.
        const SURELY_COMPUTE: f64 = 20.0;
        let memory = bytes / self.bytes;
        match self.flops {
            Some(flops) if flop / flops > memory => Some((flop / flops, Limit::Compute)),
            None if flop > SURELY_COMPUTE * bytes => None,
            _ => Some((memory, Limit::Memory)),
        }
    }

    /// Seconds of threads that arithmetic takes at least, where that is the limit: memory is shared among threads, so that
    /// time of one of them says nothing of it.
    pub fn thread_bound(&self, flop: f64, bytes: f64) -> Option<f64> {
        let computes = self.bound(flop, bytes).is_some_and(|(_, limit)| limit == Limit::Compute);
        self.thread_flops.filter(|_| computes).map(|flops| flop / flops)
    }
}

/// What keeps an op from being faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Arithmetic.
    Compute,
    /// Reading and writing.
    Memory,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compute => "compute",
            Self::Memory => "memory",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_higher_of_two() {
        let [half_flops, matrix_flops] = [Some(200.0), Some(1000.0)];
        let peak =
            Peak { flops: Some(100.0), thread_flops: Some(50.0), half_flops, matrix_flops, bytes: 10.0, fresh: None };
        assert_eq!(peak.of_matrices().bound(3000.0, 10.0), Some((3.0, Limit::Compute)));
        assert_eq!(peak.bound(1000.0, 10.0), Some((10.0, Limit::Compute)));
        assert_eq!(peak.bound(100.0, 100.0), Some((10.0, Limit::Memory)));
        assert_eq!((peak.thread_bound(1000.0, 10.0), peak.thread_bound(100.0, 100.0)), (Some(20.0), None));
        let unknown = Peak { flops: None, ..peak };
        assert_eq!(unknown.bound(1000.0, 10.0), None);
        assert_eq!(unknown.bound(10.0, 10.0), Some((1.0, Limit::Memory)));
    }
}
