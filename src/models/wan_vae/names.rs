//! Names and shapes of the autoencoder's tensors, as diffusers' AutoencoderKLWan has them.

use super::config::{Config, Level, Upsample};
use crate::weights::NameTable;

/// The tensors that decoding with this (validated) configuration needs; the encoder's are ignored. Conv kernels
/// are `[out, in, time, rows, columns]`, those over single frames `[out, in, rows, columns]`.
pub fn name_table(config: &Config) -> NameTable {
    let mut table = NameTable::new("AutoencoderKLWan");
    table.ignore("encoder.");
    table.ignore("quant_conv.");
    table.layer("post_quant_conv", &[config.z_dim, config.z_dim, 1, 1, 1]);

    let middle = config.decoder_width();
    table.layer("decoder.conv_in", &[middle, config.z_dim, 3, 3, 3]);
    for block in 0..2 {
        residual(&mut table, &format!("decoder.mid_block.resnets.{block}"), middle, middle);
    }
    let attention = "decoder.mid_block.attentions.0";
    table.vector(format!("{attention}.norm.gamma"), &[middle, 1, 1]);
    table.layer(&format!("{attention}.to_qkv"), &[3 * middle, middle, 1, 1]);
    table.layer(&format!("{attention}.proj"), &[middle, middle, 1, 1]);

    table.list("decoder.up_blocks.", config.levels(), "the levels of dim_mult");
    let mut last = middle;
    for (i, level) in config.decoder_levels().into_iter().enumerate() {
        let Level { inputs, outputs, resnets, upsample } = level;
        let level = format!("decoder.up_blocks.{i}");
        table.list(format!("{level}.resnets."), resnets, "num_res_blocks + 1");
        for block in 0..resnets {
            let inputs = if block == 0 { inputs } else { outputs };
            residual(&mut table, &format!("{level}.resnets.{block}"), inputs, outputs);
        }
        if upsample != Upsample::None {
            table.layer(&format!("{level}.upsamplers.0.resample.1"), &[outputs / 2, outputs, 3, 3]);
        }
        if upsample == Upsample::SpaceAndTime {
            table.layer(&format!("{level}.upsamplers.0.time_conv"), &[2 * outputs, outputs, 3, 1, 1]);
        }
        last = outputs;
    }
    table.vector("decoder.norm_out.gamma", &[last, 1, 1, 1]);
    table.layer("decoder.conv_out", &[config.out_channels, last, 3, 3, 3]);
    table
}

/// Adds a residual block: two norms and convs, and a conv on the shortcut where the channels change.
fn residual(table: &mut NameTable, prefix: &str, input: usize, output: usize) {
    table.vector(format!("{prefix}.norm1.gamma"), &[input, 1, 1, 1]);
    table.layer(&format!("{prefix}.conv1"), &[output, input, 3, 3, 3]);
    table.vector(format!("{prefix}.norm2.gamma"), &[output, 1, 1, 1]);
    table.layer(&format!("{prefix}.conv2"), &[output, output, 3, 3, 3]);
    if input != output {
        table.layer(&format!("{prefix}.conv_shortcut"), &[output, input, 1, 1, 1]);
    }
}
