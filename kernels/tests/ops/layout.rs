//! Ops that only move numbers: not one bit may change.

use zoetrope_kernels as kernels;

use super::common::cases::{
    CHANNELS, Channels, EMBEDDING, Embedding, INTERLEAVE, Interleave, PATCHES, Patches, UPSAMPLE, Upsample,
};
use super::common::compare::Limit;
use super::common::reference as r;
use super::{into, judge, stored};

pub fn upsample(case: &Upsample) {
    let (x, want) = (case.x(), case.want());
    judge(case, &want, want.len(), Limit::EXACT, |exec| {
        into(want.len(), |out| kernels::upsample_nearest(exec, &x, case.shape, case.fh, case.fw, out))
    });
}

pub fn interleave(case: &Interleave) {
    let (x, want) = (case.x(), case.want());
    judge(case, &want, want.len(), Limit::EXACT, |exec| {
        into(want.len(), |out| kernels::interleave_frames(exec, &x, case.shape, out))
    });
}

pub fn patches(case: &Patches) {
    let (x, want) = (case.x(), case.want_patchify());
    judge(&("patchify", case), &want, want.len(), Limit::EXACT, |exec| {
        into(want.len(), |out| kernels::patchify(exec, &x, case.shape, case.patch, out))
    });
    let want = case.want_unpatchify();
    judge(&("unpatchify", case), &want, want.len(), Limit::EXACT, |exec| {
        into(want.len(), |out| kernels::unpatchify(exec, &x, case.shape, case.patch, out))
    });
}

pub fn channels(case: &Channels) {
    let (x, want) = (case.x(), r::channels_last(&case.x(), case.channels));
    judge(&("channels_last", case), &want, want.len(), Limit::EXACT, |exec| {
        into(want.len(), |out| kernels::channels_last(exec, &x, case.channels, out))
    });
    let want = r::channels_first(&x, case.channels);
    judge(&("channels_first", case), &want, want.len(), Limit::EXACT, |exec| {
        into(want.len(), |out| kernels::channels_first(exec, &x, case.channels, out))
    });
}

pub fn embedding(case: &Embedding) {
    let (table, ids, want) = (case.table(), case.ids(), case.want());
    judge(case, &want, want.len(), Limit::EXACT, |exec| {
        into(want.len(), |out| kernels::embedding(exec, stored(&table), case.width, &ids, out))
    });
}

#[test]
fn upsample_nearest_of_every_case() {
    UPSAMPLE.iter().for_each(upsample);
}

#[test]
fn interleave_frames_of_every_case() {
    INTERLEAVE.iter().for_each(interleave);
}

#[test]
fn patchify_and_unpatchify_of_every_case() {
    PATCHES.iter().for_each(patches);
}

#[test]
fn channels_last_and_first_of_every_case() {
    CHANNELS.iter().for_each(channels);
}

#[test]
fn embedding_of_every_case() {
    EMBEDDING.iter().for_each(embedding);
}
