//! Time that passes, and time that threads run for.

use std::time::{Duration, Instant, SystemTime};

/// A moment.
#[derive(Clone, Copy)]
pub struct Moment {
    wall: Instant,
    threads: Option<Duration>,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self { wall: Instant::now(), threads: threads() }
    }

    /// Seconds since, and seconds that the threads of this process have run for since, all added up, where the system
    /// tells.
    pub fn elapsed(&self) -> (f64, Option<f64>) {
        let wall = self.wall.elapsed().as_secs_f64();
        let since = |before: Duration| Some(threads()?.saturating_sub(before).as_secs_f64());
        (wall, self.threads.and_then(since))
    }
}

/// What all threads of this process have run for.
#[cfg(unix)]
fn threads() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

/// Not told here.
#[cfg(not(unix))]
fn threads() -> Option<Duration> {
    None
}

/// Now, as RFC 3339 writes it.
pub fn date() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn threads_run_while_they_work() {
        let start = Moment::now();
        while start.elapsed().1.unwrap() < 0.01 {
            std::hint::black_box((0..1000).sum::<u64>());
        }
        assert!(start.elapsed().0 > 0.0);
    }
}
