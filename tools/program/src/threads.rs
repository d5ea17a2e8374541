//! Worker threads.

use rayon::ThreadPool;
use zoetrope::{Error, Result};

/// The most worker threads: with far more, a system spends its time and memory on the threads alone.
pub const MAX_THREADS: u16 = 1024;

/// A pool of this many threads; as many as `RAYON_NUM_THREADS` says, or else one for each core, if `None`.
///
/// # Errors
/// [`Error::Request`] if they are too many, or the system does not give them.
pub fn pool(threads: Option<u16>) -> Result<ThreadPool> {
    let variable = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse::<usize>().ok());
    let count = match (threads, variable) {
        (Some(threads), _) => threads.into(),
        (None, Some(threads)) if threads > MAX_THREADS.into() => {
            let why = format!("{threads} is above {MAX_THREADS}; unset it, or choose with --threads");
            return Err(Error::Request { what: "RAYON_NUM_THREADS", why });
        }
        // Rayon reads the variable itself.
        _ => 0,
    };
    rayon::ThreadPoolBuilder::new().num_threads(count).build().map_err(|error| {
        let why = format!("the system does not give so many: {error}; ask for fewer with --threads");
        Error::Request { what: "threads", why }
    })
}
