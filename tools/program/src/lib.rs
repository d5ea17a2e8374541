//! What programs around the engine share: a video's recipe, settings from plain data, the choice of a device, jobs with their
//! events, and outputs that are complete or not there.
//!
//! Nothing here prints or ends the process. A program turns its flags or a request of JSON into [`settings::Overrides`] and
//! [`job::JobOptions`], opens a [`job::Job`], and runs it into [`outputs::Outputs`]; what happens arrives as
//! [`events::Event`]s.
//!
//! ```no_run
//! use program::job::{Job, JobOptions};
//! use program::outputs::Outputs;
//! use program::settings::Overrides;
//! use program::target::Target;
//!
//! # fn main() -> zoetrope::Result<()> {
//! let settings = Overrides { prompt: Some("a red circle moving right".into()), ..Overrides::default() };
//! let options = JobOptions { settings, ..JobOptions::default() };
//! let job = Job::open(options, &mut |_| {})?;
//! let target = Target { output: Some("circle.gif".into()), ..Target::default() };
//! let path = job.run(target, &Outputs::default(), &mut |event| drop(event))?;
//! assert!(path.ends_with("circle.gif"));
//! # Ok(())
//! # }
//! ```
#![deny(clippy::print_stdout, clippy::print_stderr, clippy::exit, reason = "programs print and exit, not this crate")]

pub mod bundled;
pub mod devices;
pub mod errors;
pub mod events;
mod generate;
pub mod hash;
pub mod identity;
pub mod job;
pub mod memory;
pub mod outputs;
pub mod plan;
pub mod recipe;
pub mod settings;
pub mod signals;
pub mod streams;
pub mod target;
pub mod text_cache;
pub mod threads;
