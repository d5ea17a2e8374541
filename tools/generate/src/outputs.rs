//! What a run writes, and how an interrupt gets hold of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use zoetrope::video::{Frame, FrameSink, VideoInfo};
use zoetrope::{Cancel, Error, LatentsFile, Result, Tensor};

/// How long work that was asked to stop may take before the process ends without it.
const GRACE: Duration = Duration::from_millis(600);

/// The files that a run is writing; dropping them removes what is incomplete. Clones share them.
#[derive(Clone, Default)]
pub struct Outputs(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    sink: Option<Box<dyn FrameSink>>,
    latents: Option<LatentsFile>,
    finished: bool,
}

impl Outputs {
    /// Takes charge of the files.
    pub fn hold(&self, sink: Box<dyn FrameSink>, latents: Option<LatentsFile>) {
        let mut state = self.lock();
        state.sink = Some(sink);
        state.latents = latents;
    }

    /// Completes the file of latents, if there is to be one.
    pub fn save(&self, latents: &Tensor) -> Result<()> {
        self.lock().latents.take().map_or(Ok(()), |file| file.write(latents))
    }

    /// Removes what is incomplete.
    pub fn discard(&self) {
        self.lock().clear();
    }

    /// Handles SIGINT and SIGTERM from now on: the first asks the work to stop and ends the process if it does not, the
    /// second ends it at once. Either way nothing incomplete is left; `json` asks for the event that says so.
    pub fn on_interrupt(&self, cancel: Cancel, json: bool) -> std::result::Result<(), ctrlc::Error> {
        let outputs = self.clone();
        ctrlc::set_handler(move || {
            if cancel.is_cancelled() {
                // Not waiting for a write that may never return.
                if let Ok(mut state) = outputs.0.try_lock() {
                    state.clear();
                }
                std::process::exit(130);
            }
            cancel.cancel();
            let outputs = outputs.clone();
            thread::spawn(move || {
                thread::sleep(GRACE);
                // A video that is being completed at this moment is completed.
                let mut state = outputs.lock();
                if !state.finished {
                    state.clear();
                    std::process::exit(crate::failed(&Error::Cancelled, json).into());
                }
            });
        })
    }

    fn sink(&self, call: impl FnOnce(&mut dyn FrameSink) -> Result<()>) -> Result<()> {
        // Nobody but an interrupt takes the sink away.
        self.lock().sink.as_mut().map_or(Err(Error::Cancelled), |sink| call(sink.as_mut()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn clear(&mut self) {
        // The latents may lie in the folder of the frames, which goes only when it is empty.
        self.latents = None;
        self.sink = None;
    }
}

impl FrameSink for Outputs {
    fn check(&self, info: &VideoInfo) -> Result<()> {
        self.sink(|sink| sink.check(info))
    }

    fn start(&mut self, info: &VideoInfo) -> Result<()> {
        self.sink(|sink| sink.start(info))
    }

    fn frame(&mut self, frame: &Frame) -> Result<()> {
        self.sink(|sink| sink.frame(frame))
    }

    fn finish(&mut self) -> Result<()> {
        let mut state = self.lock();
        state.sink.take().map_or(Err(Error::Cancelled), |mut sink| sink.finish())?;
        state.finished = true;
        Ok(())
    }
}
