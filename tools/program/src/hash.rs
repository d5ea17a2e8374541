//! SHA-256 in hex.

use hmac_sha256::Hash as Sha256;

/// The hash in lower-case hex, 64 characters.
pub fn hex(hash: Sha256) -> String {
    zoetrope::weights::hex(&hash.finalize())
}
