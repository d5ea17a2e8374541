//! Time that passes, and time that threads run for.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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
    rfc3339(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Days are counted after Hinnant, "chrono-compatible low-level date algorithms".
fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March on, so that a leap day is the last.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_767_225_599), "2025-12-31T23:59:59Z");
    }

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
