//! What decides the bits of a result.

use crate::weights::hash::hex;

/// Which kernels and shaders this build has: 16 hexadecimal digits. Two builds of one identity give the same bits on the
/// same device.
pub fn build() -> String {
    let mut hash = hmac_sha256::Hash::new();
    hash.update(zoetrope_kernels::SOURCE_HASH);
    hash.update(super::tuning::shaders());
    hex(&hash.finalize()[..8])
}
