//! From a prompt to a file through the library: `cargo run --release --features tokenizer --example generate -- DIR PROMPT`.

use zoetrope::video::Y4m;
use zoetrope::weights::Mapping;
use zoetrope::{Device, Pipeline, Progress, Request, Result};

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(folder), Some(prompt)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: generate DIR PROMPT");
        std::process::exit(2);
    };
    let pipeline = Pipeline::open(folder, Mapping::Map)?;
    let device = Device::cpu()?;
    // Anything may stop the run, from any thread: here, half a minute.
    let cancel = device.cancel().clone();
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(30));
        cancel.cancel();
    });

    // What is not said here is the checkpoint's default; so small a clip is for a first look.
    let request = Request { width: 80, height: 48, frames: 5, seed: 7, ..pipeline.request(prompt) };
    let mut sink = Y4m::create("video.y4m".as_ref(), true)?;
    pipeline.generate(&device, &request, &mut sink, &mut |progress| {
        if let Progress::Step { done, total } = progress {
            eprintln!("step {done} of {total}");
        }
    })
}
