#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require

// Products of matrices in registers, as fast as matrix units do them: what no other shader exceeds.
//
// Bindings: 0 out, a matrix for each subgroup
// Push constants: uint out_offset, rounds, first_group
// Specialization: 0 local_size_x (four subgroups); 20 UNIT_M; 21 UNIT_N; 22 UNIT_K
// Dispatch: groups of which each does 32 rounds products of UNIT_M UNIT_N UNIT_K in each of its four subgroups
// Shared memory: none

#include "include/group.glsl"

layout(constant_id = 20) const uint UNIT_M = 16;
layout(constant_id = 21) const uint UNIT_N = 16;
layout(constant_id = 22) const uint UNIT_K = 16;

layout(std430, binding = 0) writeonly buffer Out { float result[]; };

layout(push_constant) uniform Push {
    uint out_offset;
    uint rounds, first_group;
};

#define SUMS coopmat<float, gl_ScopeSubgroup, UNIT_M, UNIT_N, gl_MatrixUseAccumulator>
#define ROWS coopmat<float16_t, gl_ScopeSubgroup, UNIT_M, UNIT_K, gl_MatrixUseA>
#define COLUMNS coopmat<float16_t, gl_ScopeSubgroup, UNIT_K, UNIT_N, gl_MatrixUseB>
#define ALL                                   \
    s0 = coopMatMulAdd(a0, b0, s0);           \
    s1 = coopMatMulAdd(a0, b1, s1);           \
    s2 = coopMatMulAdd(a1, b0, s2);           \
    s3 = coopMatMulAdd(a1, b1, s3);           \
    s4 = coopMatMulAdd(a2, b0, s4);           \
    s5 = coopMatMulAdd(a2, b1, s5);           \
    s6 = coopMatMulAdd(a3, b0, s6);           \
    s7 = coopMatMulAdd(a3, b1, s7);

void main() {
    uint subgroup = group_index(first_group) * 4 + gl_SubgroupID;
    // Not known to the compiler, and so small that no sum grows much.
    float16_t x = float16_t(1.0 / float(16 + (subgroup + rounds) % 7));
    ROWS a0 = ROWS(x), a1 = ROWS(-x), a2 = ROWS(x + x), a3 = ROWS(-x - x);
    COLUMNS b0 = COLUMNS(x), b1 = COLUMNS(-x);
    SUMS s0 = SUMS(0.0), s1 = SUMS(1.0), s2 = SUMS(2.0), s3 = SUMS(3.0);
    SUMS s4 = SUMS(4.0), s5 = SUMS(5.0), s6 = SUMS(6.0), s7 = SUMS(7.0);
    for (uint i = 0; i < rounds; i++) {
        ALL ALL ALL ALL
        // Else one round's products would do for all.
        a0 = -a0;
        a1 = -a1;
        a2 = -a2;
        a3 = -a3;
    }
    SUMS sum = (s0 + s1) + (s2 + s3) + ((s4 + s5) + (s6 + s7));
    uint at = out_offset + subgroup * UNIT_M * UNIT_N;
    coopMatStore(sum, result, at, UNIT_N, gl_CooperativeMatrixLayoutRowMajor);
}
