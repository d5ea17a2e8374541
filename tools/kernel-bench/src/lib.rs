//! `kernel-bench`: how fast the ops of a video model are on a device, how close to its limit, and how long a model would
//! take there.
//!
//! **Method.** Operands are random. A row's result is first compared with sums in double precision at some 300 places,
//! its corners included. Cold times go round so many sets of operands and results that no cache holds them; hot times
//! use one set. After a warm-up that ends when times settle, a sample is the mean of as many runs, one after the other,
//! as 10 ms take on a processor and 50 ms on a GPU, by whose own clock it is timed if it has one. On a processor the
//! time that threads ran is read beside the clock. A visit of a row takes five samples; all rows are visited four
//! times, and again, until the four quietest visits of each agree or the run has taken long enough. These four count:
//! 20 samples. A row that does not fit into its time is skipped, with an estimate, and never made smaller. Peaks are
//! measured in the same run by probes of our own. Winograd's convolutions count the multiplications that they save, and
//! so may exceed the peak.

pub mod args;
pub mod clock;
pub mod compare;
pub mod devices;
pub mod estimate;
pub mod exact;
pub mod measure;
pub mod peak;
pub mod random;
pub mod report;
pub mod run;
pub mod show;
pub mod task;
pub mod tune;
