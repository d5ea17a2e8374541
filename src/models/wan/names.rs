//! Names and shapes of the transformer's tensors, as diffusers' WanTransformer3DModel has them.

use super::config::Config;
use crate::weights::NameTable;

/// The tensors that a transformer of this (validated) configuration has. Matrices are `[out, in]`.
pub fn name_table(config: &Config) -> NameTable {
    let width = config.inner_dim();
    let mut table = NameTable::new("WanTransformer3DModel");
    let [t, h, w] = config.patch_size;
    table.layer("patch_embedding", &[width, config.in_channels, t, h, w]);

    table.layer("condition_embedder.time_embedder.linear_1", &[width, config.freq_dim]);
    table.layer("condition_embedder.time_embedder.linear_2", &[width, width]);
    table.layer("condition_embedder.time_proj", &[6 * width, width]);
    table.layer("condition_embedder.text_embedder.linear_1", &[width, config.text_dim]);
    table.layer("condition_embedder.text_embedder.linear_2", &[width, width]);

    table.list("blocks.", config.num_layers, "num_layers");
    for block in 0..config.num_layers {
        let block = format!("blocks.{block}");
        for attention in ["attn1", "attn2"] {
            for layer in ["to_q", "to_k", "to_v", "to_out.0"] {
                table.layer(&format!("{block}.{attention}.{layer}"), &[width, width]);
            }
            table.vector(format!("{block}.{attention}.norm_q.weight"), &[width]);
            table.vector(format!("{block}.{attention}.norm_k.weight"), &[width]);
        }
        if config.cross_attn_norm {
            table.vector(format!("{block}.norm2.weight"), &[width]);
            table.vector(format!("{block}.norm2.bias"), &[width]);
        }
        table.layer(&format!("{block}.ffn.net.0.proj"), &[config.ffn_dim, width]);
        table.layer(&format!("{block}.ffn.net.2"), &[width, config.ffn_dim]);
        table.vector(format!("{block}.scale_shift_table"), &[1, 6, width]);
    }

    table.layer("proj_out", &[config.out_channels() * config.patch_volume(), width]);
    table.vector("scale_shift_table", &[1, 2, width]);
    // The projections of an image's tokens, and the keys and values that every block makes of them.
    let image =
        &["condition_embedder.image_embedder.", ".attn2.add_k_proj.", ".attn2.add_v_proj.", ".attn2.norm_added_"];
    table.unsupported("an image branch", image, config.image_keys());
    table
}
