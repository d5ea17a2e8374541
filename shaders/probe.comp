#version 450
#extension GL_GOOGLE_include_directive : require

// Multiplications and additions in registers, as fast as they come: what no other shader exceeds.
//
// Bindings: 0 out, a number for each invocation
// Push constants: uint out_offset, rounds, first_group
// Specialization: 0 local_size_x
// Dispatch: groups of which each does 512 rounds local_size_x operations
// Shared memory: none

#include "include/group.glsl"

layout(std430, binding = 0) writeonly buffer Out { float result[]; };

layout(push_constant) uniform Push {
    uint out_offset;
    uint rounds, first_group;
};

// Sums enough to hide the latency of one, few enough for the registers of any device.
#define ONE(s) s = fma(s, a, b);
#define ALL ONE(s0) ONE(s1) ONE(s2) ONE(s3) ONE(s4) ONE(s5) ONE(s6) ONE(s7)

void main() {
    uint me = group_index(first_group) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    // Not known to the compiler, and below one: no sum grows.
    vec4 a = vec4(0.75) + 0.125 / float(rounds + 1);
    vec4 b = vec4(1.0, 0.5, 0.25, 0.125) * float(me % 7 + 1);
    vec4 s0 = b, s1 = 2.0 * b, s2 = 3.0 * b, s3 = 4.0 * b, s4 = 5.0 * b, s5 = 6.0 * b, s6 = 7.0 * b, s7 = 8.0 * b;
    for (uint i = 0; i < rounds; i++) {
        // 8 vectors of 4, eight times over, two operations each.
        ALL ALL ALL ALL ALL ALL ALL ALL
    }
    vec4 sum = (s0 + s1) + (s2 + s3) + (s4 + s5) + (s6 + s7);
    result[out_offset + me] = sum.x + sum.y + sum.z + sum.w;
}
