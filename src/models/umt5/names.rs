//! Names and shapes of the text encoder's tensors, as transformers' UMT5EncoderModel has them.

use super::config::Config;
use crate::weights::NameTable;

/// The tensors that an encoder of this (validated) configuration has. Matrices are `[out, in]`; there are no biases.
pub fn name_table(config: &Config) -> NameTable {
    let (width, inner) = (config.d_model, config.inner_dim());
    let mut table = NameTable::new("UMT5EncoderModel");
    table.matrix("shared.weight", &[config.vocab_size, width]);
    // One embedding under two names: which of them is written depends on the version that saved it.
    table.alias("shared.weight", "encoder.embed_tokens.weight");
    table.list("encoder.block.", config.num_layers, "num_layers");
    for block in 0..config.num_layers {
        let attention = format!("encoder.block.{block}.layer.0");
        for name in ["q", "k", "v"] {
            table.matrix(format!("{attention}.SelfAttention.{name}.weight"), &[inner, width]);
        }
        table.matrix(format!("{attention}.SelfAttention.o.weight"), &[width, inner]);
        // Every block has a table of its own, which T5 shares between blocks.
        table.matrix(
            format!("{attention}.SelfAttention.relative_attention_bias.weight"),
            &[config.relative_attention_num_buckets, config.num_heads],
        );
        table.vector(format!("{attention}.layer_norm.weight"), &[width]);

        let feed_forward = format!("encoder.block.{block}.layer.1");
        for name in ["wi_0", "wi_1"] {
            table.matrix(format!("{feed_forward}.DenseReluDense.{name}.weight"), &[config.d_ff, width]);
        }
        table.matrix(format!("{feed_forward}.DenseReluDense.wo.weight"), &[width, config.d_ff]);
        table.vector(format!("{feed_forward}.layer_norm.weight"), &[width]);
    }
    table.vector("encoder.final_layer_norm.weight", &[width]);
    table
}
