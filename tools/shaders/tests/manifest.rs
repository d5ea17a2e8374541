//! The committed binaries are those of the committed sources; and the check tells if they are not.

use std::fs;
use std::path::Path;

use zoetrope_shaders::{binary, folder, manifest, misfits, sources};

#[test]
fn sources_binaries_and_manifest_belong_together() {
    let misfits = misfits(&folder()).expect("the folder can be read");
    assert!(misfits.is_empty(), "compile the shaders again, see shaders/README.md:\n{}", misfits.join("\n"));
}

#[test]
fn whatever_is_changed_is_found() {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("manifest");
    let _ = fs::remove_dir_all(&root);
    fs::create_dir_all(root.join("include")).unwrap();
    fs::create_dir_all(root.join("spv")).unwrap();
    let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
    let texts = [
        ("a.comp", "#include \"include/one.glsl\"\n"),
        ("include/one.glsl", "  #include \"include/two.glsl\"\n"),
        ("include/two.glsl", "int two;\n"),
        ("spv/a.spv", "binary"),
    ];
    texts.iter().for_each(|(name, text)| write(name, text));
    write("manifest.txt", &manifest(&root, "a compiler").unwrap());
    assert_eq!(sources(&root).unwrap(), ["a.comp"]);
    assert_eq!(binary(&root, "a.comp"), root.join("spv/a.spv"));
    assert_eq!(misfits(&root).unwrap(), [""; 0]);

    for (name, text) in texts {
        write(name, &format!("{text} "));
        assert_eq!(misfits(&root).unwrap().len(), 1, "{name}");
        write(name, text);
    }
    write("b.comp", "");
    write("spv/c.spv", "");
    assert_eq!(misfits(&root).unwrap(), ["b.comp: not in manifest.txt", "spv/c.spv: has no source"]);
    fs::remove_file(root.join("spv/a.spv")).unwrap();
    assert_eq!(misfits(&root).unwrap().len(), 3);
}
