//! What a file's tensor names say that it is: which model, in whose names, below which prefix.
//!
//! Another naming of a model becomes readable by a map from the names of its [`NameTable`](super::table::NameTable),
//! which are diffusers' and transformers', to its own. Until it has one it is recognised here and named in messages.

use std::collections::BTreeSet;

use crate::weights::text::{shown, some};

/// Whose names a file's tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Naming {
    /// diffusers' and transformers': the names of the tables.
    Diffusers,
    /// Those of Wan's own code; files for ComfyUI and GGUF files have them too.
    Wan,
    /// llama.cpp's, in GGUF files.
    LlamaCpp,
}

/// A name that only one model under one naming has.
struct Mark {
    name: &'static str,
    /// The class of the model, as tables have it.
    class: &'static str,
    naming: Naming,
}

const TRANSFORMER: &str = "WanTransformer3DModel";
const TEXT_ENCODER: &str = "UMT5EncoderModel";
const VAE: &str = "AutoencoderKLWan";

const fn mark(name: &'static str, class: &'static str, naming: Naming) -> Mark {
    Mark { name, class, naming }
}

const MARKS: [Mark; 13] = [
    mark("blocks.0.self_attn.q.weight", TRANSFORMER, Naming::Wan),
    mark("head.modulation", TRANSFORMER, Naming::Wan),
    mark("text_embedding.0.weight", TRANSFORMER, Naming::Wan),
    mark("blocks.0.attn.q.weight", TEXT_ENCODER, Naming::Wan),
    mark("token_embedding.weight", TEXT_ENCODER, Naming::Wan),
    mark("decoder.middle.0.residual.0.gamma", VAE, Naming::Wan),
    mark("encoder.middle.0.residual.0.gamma", VAE, Naming::Wan),
    mark("enc.blk.0.attn_q.weight", TEXT_ENCODER, Naming::LlamaCpp),
    mark("blocks.0.attn1.to_q.weight", TRANSFORMER, Naming::Diffusers),
    mark("condition_embedder.time_proj.weight", TRANSFORMER, Naming::Diffusers),
    mark("encoder.block.0.layer.0.SelfAttention.q.weight", TEXT_ENCODER, Naming::Diffusers),
    mark("decoder.mid_block.resnets.0.conv1.weight", VAE, Naming::Diffusers),
    mark("encoder.mid_block.resnets.0.conv1.weight", VAE, Naming::Diffusers),
];

/// Parts of names that only files of differences to a model (LoRA) have.
const DIFFERENCES: [&str; 4] = [".lora_A", ".lora_B", ".lora_down", ".lora_up"];

/// For a file that lacks most tensors of the model `class`: which tensors it has instead, and the remedy.
pub(crate) fn instead_of<'a>(class: &str, names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let names: BTreeSet<&str> = names.collect();
    let count = match names.len() {
        0 => return "no tensor is there at all".to_owned(),
        1 => "the 1 tensor that is there is".to_owned(),
        count => format!("the {count} tensors that are there are"),
    };
    if names.iter().any(|name| DIFFERENCES.iter().any(|part| name.contains(part))) {
        let remedy = "a LoRA changes a model and is none: merge it into its model in Python and save that";
        return format!("{count} those of a LoRA; {remedy}");
    }
    let mut found = BTreeSet::new();
    for name in &names {
        let whole = |prefix: &&str| prefix.is_empty() || prefix.ends_with('.');
        let fits = |mark: &Mark| Some((mark.class, mark.naming, name.strip_suffix(mark.name).filter(whole)?));
        found.extend(MARKS.iter().filter_map(fits));
    }
    let described: Vec<String> = found.iter().map(|&(class, naming, prefix)| describe(class, naming, prefix)).collect();
    let Some(&(found_class, naming, prefix)) = found.first() else {
        return format!("{count} of a model that is not known here: {}", some(names.iter().copied()));
    };
    let remedy = match naming {
        _ if found.len() > 1 => "use one folder for each model, as in a repository whose name ends in -Diffusers",
        Naming::Wan | Naming::LlamaCpp => {
            "only diffusers' names are read: use a repository whose name ends in -Diffusers"
        }
        Naming::Diffusers if found_class != class => "the file is in another component's folder",
        Naming::Diffusers if !prefix.is_empty() => {
            "names must begin without it: save the model again with diffusers' save_pretrained()"
        }
        Naming::Diffusers => {
            "config.json and weights do not belong together, or the model is not complete: fetch it again"
        }
    };
    format!("{count} {}; {remedy}", described.join(", and "))
}

fn describe(class: &str, naming: Naming, prefix: &str) -> String {
    let whose = match naming {
        Naming::Diffusers if class == TEXT_ENCODER => "transformers' names",
        Naming::Diffusers => "diffusers' names",
        Naming::Wan => "Wan's own names",
        Naming::LlamaCpp => "llama.cpp's names",
    };
    let article = if class == VAE { "an" } else { "a" };
    match prefix {
        "" => format!("{article} {class} in {whose}"),
        prefix => format!("{article} {class} in {whose}, each after {:?}", shown(prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_in_other_names_are_recognised() {
        for (names, expected) in [
            (
                &["blocks.0.self_attn.q.weight", "head.modulation"][..],
                "2 tensors that are there are a WanTransformer3DModel in Wan's own names; only",
            ),
            (
                &["model.diffusion_model.head.modulation"],
                "in Wan's own names, each after \"model.diffusion_model.\"; only diffusers' names",
            ),
            (
                &["diffusion_model.blocks.0.attn1.to_q.weight"],
                "in diffusers' names, each after \"diffusion_model.\"; names must begin without it",
            ),
            (&["blocks.0.attn.q.weight", "norm.weight"], "a UMT5EncoderModel in Wan's own names"),
            (
                &["model.decoder.middle.0.residual.0.gamma"],
                "an AutoencoderKLWan in Wan's own names, each after \"model.\"",
            ),
            (&["enc.blk.0.attn_q.weight"], "a UMT5EncoderModel in llama.cpp's names"),
            (
                &["encoder.mid_block.resnets.0.conv1.weight"],
                "in diffusers' names; the file is in another component's folder",
            ),
            (
                &["vae.decoder.middle.0.residual.0.gamma", "model.diffusion_model.head.modulation"],
                "use one folder for each model",
            ),
            (&["blocks.0.attn1.to_q.lora_A.weight"], "those of a LoRA"),
            (&["vace_blocks.0.self_attn.q.weight"], "a model that is not known here: vace_blocks.0.self_attn.q.weight"),
            (&[], "no tensor is there at all"),
        ] {
            let text = instead_of(TRANSFORMER, names.iter().copied());
            assert!(text.contains(expected), "{text}");
        }
    }
}
