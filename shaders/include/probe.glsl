// Multiplications and additions in registers, as fast as they come, of numbers of one type. Who includes this defines NUMBER
// and FOUR, the type and a vector of four of it.

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
    FOUR a = FOUR(NUMBER(0.75 + 0.125 / float(rounds + 1)));
    FOUR b = FOUR(vec4(1.0, 0.5, 0.25, 0.125) * float(me % 7 + 1));
    FOUR s0 = b, s1 = b + b, s2 = s1 + b, s3 = s1 + s1, s4 = s3 + b, s5 = s2 + s2, s6 = s5 + b, s7 = s3 + s3;
    for (uint i = 0; i < rounds; i++) {
        // 8 vectors of 4, eight times over, two operations each.
        ALL ALL ALL ALL ALL ALL ALL ALL
    }
    vec4 sum = vec4((s0 + s1) + (s2 + s3) + ((s4 + s5) + (s6 + s7)));
    result[out_offset + me] = sum.x + sum.y + sum.z + sum.w;
}
