//! Euler's method for flow matching: along the velocity from one noise level to the next.

/// Moves `latent` from noise level `sigma` to `next` along `velocity`, both of one length.
pub(super) fn step(sigma: f32, next: f32, velocity: &[f32], latent: &mut [f32]) {
    let dt = next - sigma;
    for (x, &v) in latent.iter_mut().zip(velocity) {
        *x += dt * v;
    }
}
