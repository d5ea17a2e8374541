//! The shaders: `shaders/<name>.comp` in the repository, whose first lines say what each is bound to and told.

/// A compiled shader.
#[cfg_attr(not(feature = "vulkan"), expect(dead_code, reason = "nothing runs them"))]
pub(crate) struct Shader {
    pub name: &'static str,
    /// SPIR-V.
    pub code: &'static [u8],
    /// Storage buffers in set 0.
    pub bindings: u32,
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

macro_rules! shaders {
    ($($id:ident = $name:literal, $bindings:literal;)*) => {
        $(pub(crate) static $id: Shader = Shader { name: $name, code: code!($name), bindings: $bindings };)*
    };
}

shaders! {
    ACTIVATION = "activation", 1;
    ARITHMETIC = "arithmetic", 3;
    ATTENTION = "attention", 5;
    CONV3D = "conv3d", 5;
    FINITE = "finite", 2;
    FRAMES = "frames", 2;
    LAYOUT = "layout", 2;
    LINEAR = "linear", 5;
    LINEAR_FEW = "linear_few", 5;
    MODULATE = "modulate", 3;
    NORM = "norm", 4;
    PATCH = "patch", 2;
    PROBE = "probe", 1;
    ROPE = "rope", 3;
    UPSAMPLE = "upsample", 2;
}
