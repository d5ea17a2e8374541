//! What a job writes, within reach of whoever has to end it.

use std::sync::{Arc, Mutex, PoisonError};

use zoetrope::video::{Frame, FrameSink, VideoInfo};
use zoetrope::{Error, LatentsFile, Result, Tensor};

/// The files that a job is writing; dropping them removes what is incomplete. Clones share them, so that another thread can
/// remove them.
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

    /// Removes what is incomplete unless the video is complete, in which case it says `false`. Waits for a write or a
    /// completion that is under way.
    pub fn abandon(&self) -> bool {
        let mut state = self.lock();
        if !state.finished {
            state.clear();
        }
        !state.finished
    }

    /// Removes what is incomplete if no write is under way: for a program that ends at once, without waiting for a write
    /// that may never return. Says whether it did.
    pub fn try_discard(&self) -> bool {
        self.0.try_lock().map(|mut state| state.clear()).is_ok()
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
