//! Specialization constants by the names that shaders declare them with: `layout(constant_id = N) const TYPE NAME`.
//!
//! A module is for the shaders that its op chooses from; a test compares all of them with the sources.

/// Invocations of a workgroup: `local_size_x_id` of every shader.
pub(crate) const LOCAL_SIZE: u32 = 0;

macro_rules! constants {
    ($($module:ident for $($file:literal),+: $($name:ident = $id:literal),+;)*) => {
        $(
            #[doc = concat!("Constants of ", $($file, " ",)+)]
            #[allow(dead_code, reason = "tile sizes have one id in all products; without GPUs nothing is dispatched")]
            pub(crate) mod $module {
                $(pub(crate) const $name: u32 = $id;)+
            }
        )*

        /// Every module: its shaders' files, and names with ids.
        #[cfg(test)]
        const MODULES: &[(&[&str], &[(&str, u32)])] = &[$((&[$($file),+], &[$((stringify!($name), $id)),+])),*];
    };
}

constants! {
    activation for "activation.comp": ACTIVATION = 1;
    arithmetic for "arithmetic.comp": OP = 1;
    attention for "attention.comp", "attention_units.comp":
        BM = 1, BN = 2, TM = 3, VECTORS = 4, HEAD = 4, SLICE = 5, BIAS = 6, ALIGNED = 7, Q_HALVES = 8, K_HALVES = 9,
        V_HALVES = 10, OUT_HALVES = 11;
    columns for "columns.comp": HALVES = 1;
    conv3d for "conv3d.comp", "conv3d_units.comp":
        BM = 1, BN = 2, TM = 3, TN = 4, WEIGHT = 5, ALIGNED = 6, BIAS = 7, PACKED = 8, RESIDUAL = 9, X_HALVES = 10,
        TAIL_HALVES = 11;
    cooperative for "include/matrix.glsl", "include/units.glsl": UNIT_M = 20, UNIT_N = 21, UNIT_K = 22, BK = 23;
    finite for "finite.comp": EACH = 1;
    halves for "halves.comp": WEIGHT = 5;
    linear for "linear.comp", "linear_few.comp", "linear_units.comp":
        BM = 1, ROWS = 1, BN = 2, TM = 3, TN = 4, WEIGHT = 5, ALIGNED = 6, BIAS = 7, ACTIVATION = 8, RESIDUAL = 9,
        GATE = 10, X_HALVES = 11, OUT_HALVES = 12;
    modulate for "modulate.comp": GATED_ADD = 1;
    norm for "norm.comp": KIND = 2, AFFINE = 3, ACTIVATION = 4, X_HALVES = 5, OUT_HALVES = 6;
    norm_rope for "norm_rope.comp": X_HALVES = 2, OUT_HALVES = 3;
    patch for "patch.comp": UNPATCHIFY = 1;
    row for "include/row.glsl": LANES = 1;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Names and ids that a file declares.
    fn declared(file: &Path) -> BTreeSet<(String, u32)> {
        let text = fs::read_to_string(file).unwrap();
        let declarations = text.lines().filter_map(|line| line.strip_prefix("layout(constant_id = "));
        let named = declarations.map(|line| {
            let (id, rest) = line.split_once(") const ").unwrap();
            let name = rest.split(' ').nth(1).unwrap();
            (name.to_owned(), id.parse().unwrap())
        });
        named.collect()
    }

    #[test]
    fn every_constant_is_what_the_shaders_declare() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders");
        let mut known = BTreeSet::new();
        for (files, constants) in MODULES {
            let of_files: BTreeSet<_> = files.iter().flat_map(|file| declared(&folder.join(file))).collect();
            let ours: BTreeSet<_> = constants.iter().map(|&(name, id)| (name.to_owned(), id)).collect();
            assert_eq!(ours, of_files, "{files:?}");
            known.extend(files.iter().map(|file| folder.join(file)));
        }
        for folder in [folder.clone(), folder.join("include")] {
            for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if file.is_file() && file.extension().is_some_and(|ending| ending == "comp" || ending == "glsl") {
                    assert!(known.contains(&file) || declared(&file).is_empty(), "{}", file.display());
                    let text = fs::read_to_string(&file).unwrap();
                    let local = text.lines().find(|line| line.contains("local_size_x_id"));
                    assert!(local.is_none_or(|line| line.contains(&format!("local_size_x_id = {LOCAL_SIZE})"))));
                }
            }
        }
    }
}
