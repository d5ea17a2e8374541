use super::*;
use crate::tensor::shape::Shape;

fn weight(storage: Storage, dims: &[usize], bytes: &[u8]) -> Weight {
    Weight::from_bytes("w", storage, dims, bytes.to_vec()).unwrap()
}

#[test]
fn widens_every_storage_type() {
    let f32s = [1.5f32, -0.0, f32::MIN_POSITIVE];
    let bytes: Vec<u8> = f32s.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(weight(Storage::F32, &[3], &bytes).to_vec(), f32s);
    assert_eq!(weight(Storage::F16, &[2], &[0x00, 0x3e, 0x01, 0x00]).to_vec(), [1.5, 2f32.powi(-24)]);
    assert_eq!(weight(Storage::BF16, &[2], &[0xc0, 0x3f, 0x80, 0xc0]).to_vec(), [1.5, -4.0]);
}

#[test]
fn rows_and_reshaping_share_the_bytes() {
    let all = Weight::from_f32("w", [4, 3], (0..12).map(|i| i as f32).collect());
    let some = all.rows(1..3);
    assert_eq!((some.shape(), some.to_vec()), (Shape::from([2, 3]), vec![3.0, 4.0, 5.0, 6.0, 7.0, 8.0]));
    assert_eq!(some.bytes().as_ptr(), all.bytes()[12..].as_ptr());
    let one = some.rows(1..2).reshaped(&[3, 1]);
    assert_eq!((one.shape(), one.to_vec()), (Shape::from([3, 1]), vec![6.0, 7.0, 8.0]));
    assert!(all.rows(4..4).bytes().is_empty());
}

#[test]
fn bytes_that_do_not_fit_their_shape_are_refused() {
    let error = Weight::from_bytes("w", Storage::F32, [2, 2], vec![0; 15]).unwrap_err().to_string();
    assert!(error.contains("F32 [2, 2] takes 16 bytes, 15 were given"), "{error}");
    Weight::from_bytes("w", Storage::F32, [usize::MAX, 2], Vec::new()).unwrap_err();
}

#[test]
fn scopes_nest_and_vectors_forget_axes_of_one() {
    let weights = Weights::from_weights([
        Weight::from_f32("blocks.3.norm.gamma", [2, 1, 1], vec![1.0, 2.0]),
        Weight::from_f32("blocks.3.table", [1, 2, 3], vec![0.0; 6]),
        Weight::from_f32("one", [1], vec![7.0]),
    ]);
    let block = weights.at("blocks").at(3);
    assert_eq!(block.at("norm").vector("gamma", 2).unwrap(), [1.0, 2.0]);
    assert_eq!(block.table("table", 2, 3).unwrap(), [0.0; 6]);
    assert_eq!(weights.vector("one", 1).unwrap(), [7.0]);
    assert_eq!(block.matrix("table", &[1, 2, 3]).unwrap().name(), "blocks.3.table");
    assert!(block.contains("table") && !block.contains("one"));
    for (result, expected) in [
        (block.vector("table", 6).map(drop), "blocks.3.table: expected [6], found [1, 2, 3]"),
        (block.table("table", 3, 2).map(drop), "expected [3, 2], found [1, 2, 3]"),
        (block.matrix("table", &[2, 3]).map(drop), "expected [2, 3], found [1, 2, 3]"),
        (block.matrix("bias", &[2]).map(drop), "blocks.3.bias: is missing, expected [2]"),
        (block.vector("table", 3).map(drop), "expected [3], found [1, 2, 3]"),
    ] {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn a_table_passes_over_what_it_ignores_and_warns_of_the_rest_once() {
    let mut table = NameTable::new("Model");
    table.matrix("a", &[2]);
    table.ignore("encoder.");
    let tensor = |name: &str| Weight::from_f32(name, [2], vec![0.0; 2]);
    let extras = (0..7).map(|i| tensor(&format!("x{i}\n")));
    let weights = Weights::from_weights(extras.chain([tensor("a"), tensor("encoder.b")]));
    let (_, warnings) = weights.checked(&table).unwrap();
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert_eq!(warning.to_string(), r"<memory>: 7 tensors not used: x0\n, x1\n, x2\n, x3\n, x4\n, …");
}

/// Weights are read by the threads of a pool.
#[test]
fn weights_go_between_threads() {
    fn both<T: Send + Sync>() {}
    both::<Weights>();
    both::<Weight>();
    both::<Checkpoint>();
}
