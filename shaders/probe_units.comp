#version 450
#extension GL_GOOGLE_include_directive : require

// Products of matrices in registers, as fast as matrix units do them: what no other shader exceeds.
//
// Bindings: 0 out, a matrix for each subgroup
// Push constants: uint out_offset, rounds, first_group
// Specialization: 0 local_size_x (four subgroups); 20 UNIT_M; 21 UNIT_N; 22 UNIT_K
// Dispatch: groups of which each does 32 rounds products of UNIT_M UNIT_N UNIT_K in each of its four subgroups
// Shared memory: none

#include "include/matrix.glsl"
#include "include/group.glsl"

layout(std430, binding = 0) writeonly buffer Out { float result[]; };

layout(push_constant) uniform Push {
    uint out_offset;
    uint rounds, first_group;
};

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
    MATRIX_LEFT a0 = MATRIX_LEFT(x), a1 = MATRIX_LEFT(-x), a2 = MATRIX_LEFT(x + x), a3 = MATRIX_LEFT(-x - x);
    MATRIX_RIGHT b0 = MATRIX_RIGHT(x), b1 = MATRIX_RIGHT(-x);
    MATRIX_SUMS s0 = MATRIX_SUMS(0.0), s1 = MATRIX_SUMS(1.0), s2 = MATRIX_SUMS(2.0), s3 = MATRIX_SUMS(3.0);
    MATRIX_SUMS s4 = MATRIX_SUMS(4.0), s5 = MATRIX_SUMS(5.0), s6 = MATRIX_SUMS(6.0), s7 = MATRIX_SUMS(7.0);
    for (uint i = 0; i < rounds; i++) {
        ALL ALL ALL ALL
        // Else one round's products would do for all.
        a0 = -a0;
        a1 = -a1;
        a2 = -a2;
        a3 = -a3;
    }
    MATRIX_SUMS sum = (s0 + s1) + (s2 + s3) + ((s4 + s5) + (s6 + s7));
    uint at = out_offset + subgroup * UNIT_M * UNIT_N;
    coopMatStore(sum, result, at, UNIT_N, gl_CooperativeMatrixLayoutRowMajor);
}
