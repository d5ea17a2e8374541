// Matrices that a subgroup holds together and a device's units multiply. Stands before all other code, for the extensions.

#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require

layout(constant_id = 20) const uint UNIT_M = 16;
layout(constant_id = 21) const uint UNIT_N = 16;
layout(constant_id = 22) const uint UNIT_K = 16;

// Sums of 32 bits, and the two sides of a product, of 16-bit floats.
#define MATRIX_SUMS coopmat<float, gl_ScopeSubgroup, UNIT_M, UNIT_N, gl_MatrixUseAccumulator>
#define MATRIX_LEFT coopmat<float16_t, gl_ScopeSubgroup, UNIT_M, UNIT_K, gl_MatrixUseA>
#define MATRIX_RIGHT coopmat<float16_t, gl_ScopeSubgroup, UNIT_K, UNIT_N, gl_MatrixUseB>
