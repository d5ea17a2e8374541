//! The shaders: `shaders/<name>.comp` in the repository, whose first lines give bindings and parameters.

/// A compiled shader.
#[cfg_attr(not(feature = "vulkan"), expect(dead_code, reason = "nothing runs them"))]
pub(crate) struct Shader {
    pub name: &'static str,
    /// SPIR-V.
    pub code: &'static [u8],
    /// Storage buffers in set 0.
    pub bindings: u32,
    /// Whether it takes tensors of F16.
    pub f16: bool,
    /// Whether it multiplies cooperative matrices.
    pub cooperative: bool,
}

#[cfg(feature = "vulkan")]
macro_rules! code {
    ($name:literal) => {
        include_bytes!(concat!("../../shaders/spv/", $name, ".spv"))
    };
}

#[cfg(not(feature = "vulkan"))]
macro_rules! code {
    ($name:literal) => {
        &[]
    };
}

macro_rules! cooperative {
    () => {
        false
    };
    (cooperative) => {
        true
    };
}

macro_rules! shaders {
    ($($id:ident = $name:literal, $bindings:literal, $f16:literal $(, $cooperative:ident)?;)*) => {
        $(#[cfg_attr(not(feature = "vulkan"), allow(dead_code, reason = "nothing converts weights"))]
        pub(crate) static $id: Shader =
            Shader { name: $name, code: code!($name), bindings: $bindings, f16: $f16, cooperative: cooperative!($($cooperative)?) };)*
    };
}

shaders! {
    ACTIVATION = "activation", 1, false;
    ARITHMETIC = "arithmetic", 3, false;
    ATTENTION = "attention", 5, true;
    ATTENTION_COOPERATIVE = "attention_units", 5, true, cooperative;
    COLUMNS = "columns", 2, true;
    CONV3D = "conv3d", 5, true;
    CONV3D_COOPERATIVE = "conv3d_units", 5, true, cooperative;
    FINITE = "finite", 2, false;
    FRAMES = "frames", 2, false;
    HALVES = "halves", 2, true;
    LAYOUT = "layout", 2, false;
    LINEAR = "linear", 5, true;
    LINEAR_FEW = "linear_few", 5, false;
    LINEAR_COOPERATIVE = "linear_units", 5, true, cooperative;
    MODULATE = "modulate", 3, false;
    NORM = "norm", 4, true;
    NORM_ROPE = "norm_rope", 5, true;
    PATCH = "patch", 2, false;
    PROBE = "probe", 1, false;
    PROBE_HALVES = "probe_halves", 1, false;
    PROBE_COOPERATIVE = "probe_units", 1, false, cooperative;
    ROPE = "rope", 3, false;
    UPSAMPLE = "upsample", 2, false;
}
