//! The same judgement on random sizes: what no table thinks of.

use proptest::prelude::*;
use proptest::sample::select;

use super::common::cases::{
    Attention, BiasKind, Channels, Conv3d, Embedding, Interleave, Linear, Patches, Rope, Rows, Upsample,
};
use super::common::data::{Fill, Storage};
use super::common::reference::{Act, Conv3dSizes};
use super::{heavy, layout, rows};

fn storage() -> impl Strategy<Value = Storage> {
    select(&[Storage::F32, Storage::F16, Storage::BF16][..])
}

fn act() -> impl Strategy<Value = Act> {
    select(&[Act::None, Act::Silu, Act::GeluTanh][..])
}

fn bias_kind() -> impl Strategy<Value = BiasKind> {
    let hidden = [f32::MIN, f32::NEG_INFINITY].map(BiasKind::FirstKeysHidden);
    select([&[BiasKind::None, BiasKind::PerKey, BiasKind::PerHead][..], &hidden].concat())
}

fn linear() -> impl Strategy<Value = Linear> {
    (0usize..40, 1usize..90, 1usize..60, storage(), any::<bool>(), act())
        .prop_map(|(rows, k, n, storage, bias, act)| Linear { rows, k, n, storage, bias, act, fill: Fill::Normal })
}

fn attention() -> impl Strategy<Value = Attention> {
    (1usize..4, 1usize..70, 1usize..40, 1usize..90, bias_kind(), 0usize..9, 0usize..3).prop_map(
        |(heads, head_dim, queries, keys, bias, gap, spare)| Attention {
            heads,
            head_dim,
            queries,
            keys,
            bias,
            gap,
            spare,
            q: Fill::Normal,
        },
    )
}

fn conv3d() -> impl Strategy<Value = Conv3d> {
    let image = (1usize..4, 1usize..7, 1usize..9);
    let channels = (1usize..20, 1usize..20);
    let kernel = (1usize..4, 1usize..4, 1usize..4);
    let stride = (1usize..3, 1usize..3, 1usize..3);
    let padding = (0usize..3, 0usize..3, [0usize..3, 0usize..3, 0usize..3, 0usize..3]);
    (image, channels, kernel, stride, padding, storage(), any::<bool>())
        .prop_map(|((frames, height, width), (in_channels, out_channels), kernel, stride, padding, storage, bias)| {
            let sizes = Conv3dSizes {
                frames,
                height,
                width,
                in_channels,
                out_channels,
                kernel: kernel.into(),
                stride: stride.into(),
                pad_front: padding.0,
                tail_frames: padding.1,
                pad: padding.2,
            };
            Conv3d { sizes, storage, bias }
        })
        .prop_filter("at least one position for the kernel", |case| case.sizes.out().iter().all(|&n| n > 0))
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
    fn any_attention(case in attention()) {
        heavy::attention(&case);
    }

    #[test]
    fn any_conv3d(case in conv3d()) {
        heavy::conv3d(&case);
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
    fn any_embedding(vocab in 1usize..40, width in 1usize..70, ids in 0usize..20, storage in storage()) {
        layout::embedding(&Embedding { vocab, width, ids, storage });
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
