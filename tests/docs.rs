//! The crate's front page against the code.

const TABLE: &str = include_str!("../src/ops/table.md");
const OPS: &str = include_str!("../src/ops/mod.rs");

/// What `ops` re-exports in lower case: functions, which is to say ops.
fn ops() -> Vec<&'static str> {
    let parts: Vec<&str> = OPS.split("\npub use ").collect();
    // What is hidden from the documentation is no op.
    let shown = parts.windows(2).filter(|pair| !pair[0].ends_with("#[doc(hidden)]"));
    let exports = shown.map(|pair| pair[1].split(';').next().unwrap());
    let items = exports.flat_map(|export| export.split_once("::").unwrap().1.split([',', '{', '}', ' ', '\n']));
    let names = items.filter_map(|item| item.rsplit("::").next());
    names.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).collect()
}

#[test]
fn the_table_has_every_op_once_with_shapes_and_source() {
    let ops = ops();
    assert!(ops.len() >= 23, "{ops:?}");
    for op in &ops {
        let link = format!("[`{op}`](crate::ops::{op})");
        let rows: Vec<&str> = TABLE.lines().filter(|line| line.contains(&link)).collect();
        let [row] = rows[..] else { panic!("{op} is in {} rows", rows.len()) };
        // In front of the first column and behind the last there is nothing.
        let columns: Vec<&str> = row.replace("\\|", "").leak().split('|').map(str::trim).collect();
        let ["", _, shapes, what, ""] = columns[..] else { panic!("{row}") };
        assert!(shapes.contains('`') && shapes.contains('→') && !what.is_empty(), "{row}");
    }
    let rows: String = TABLE.lines().filter(|line| line.starts_with('|')).collect();
    assert_eq!(rows.matches("](crate::ops::").count(), ops.len(), "rows of ops that there are not");
}
