//! The same judgement on random sizes: what no table thinks of.

use proptest::prelude::*;
use proptest::sample::select;

use super::common::cases::{Channels, Interleave, Linear, Patches, Rope, Rows, Upsample};
use super::common::data::{Fill, Storage};
use super::common::reference::Act;
use super::{heavy, layout, rows};

fn storage() -> impl Strategy<Value = Storage> {
    select(&[Storage::F32, Storage::F16, Storage::BF16][..])
}

fn act() -> impl Strategy<Value = Act> {
    select(&[Act::None, Act::Silu, Act::GeluTanh][..])
}

fn linear() -> impl Strategy<Value = Linear> {
    (0usize..40, 1usize..90, 1usize..60, storage(), any::<bool>(), act())
        .prop_map(|(rows, k, n, storage, bias, act)| Linear { rows, k, n, storage, bias, act, fill: Fill::Normal })
}

fn any_rows() -> impl Strategy<Value = Rows> {
    (0usize..9, 1usize..120).prop_map(|(rows, width)| Rows { rows, width, fill: Fill::Normal })
}

fn rope() -> impl Strategy<Value = Rope> {
    (1usize..3, 1usize..8, 1usize..4, 1usize..40).prop_map(|(branches, table_rows, heads, half)| Rope {
        rows: branches * table_rows,
        table_rows,
        heads,
        head_dim: 2 * half,
    })
}

fn shape() -> impl Strategy<Value = [usize; 4]> {
    [1usize..4, 1usize..5, 1usize..5, 1usize..20]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_linear(case in linear()) {
        heavy::linear(&case);
    }

    #[test]
    fn any_norm(case in any_rows()) {
        rows::norms(&case);
    }

    #[test]
    fn any_elementwise(case in any_rows()) {
        rows::elementwise(&case);
    }

    #[test]
    fn any_rope(case in rope()) {
        rows::rope(&case);
    }

    #[test]
    fn any_layout(shape in shape(), times in [1usize..4, 1usize..4, 1usize..4]) {
        let [t, h, w, c] = shape;
        layout::upsample(&Upsample { shape, fh: times[0], fw: times[1] });
        layout::interleave(&Interleave { shape: [t, h, w, 2 * c] });
        layout::channels(&Channels { channels: c, pixels: t * h * w });
        layout::patches(&Patches { shape: [c, t * times[0], h * times[1], w * times[2]], patch: times });
    }
}
