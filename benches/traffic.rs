//! What a block of the transformer moves through a GPU's memory, held against the least that it could:
//! `cargo bench --features vulkan --bench traffic`. Bound: 1.6 times at half precision.

use traffic::Traffic;
use zoetrope::{Device, DeviceOptions, Precision};

#[path = "../tests/traffic/mod.rs"]
mod traffic;

fn main() -> zoetrope::Result<()> {
    println!("| device | tokens | MB moved | MB at least | ratio |\n|---|---|---|---|---|");
    let usable = Device::gpus()?.into_iter().find(|gpu| gpu.unusable.is_none());
    let Some(gpu) = usable else { return Ok(()) };
    for precision in [Precision::Full, Precision::Half] {
        let device = Device::vulkan(gpu.index, DeviceOptions { precision, ..DeviceOptions::default() })?;
        let traffic = Traffic::of_a_block(&device, 5, 32)?;
        let [moved, least] = [traffic.moved, traffic.least].map(|bytes| bytes as f64 / 1e6);
        println!("| {device} | {} | {moved:.2} | {least:.2} | {:.2} |", traffic.rows, traffic.ratio());
    }
    Ok(())
}
