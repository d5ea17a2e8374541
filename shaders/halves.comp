#version 450
#extension GL_GOOGLE_include_directive : require

// A weight as matrix units read it: of 16-bit floats, the taps of a kernel outside its channels. Numbers beyond 65504 do not come.
//
// Bindings: 0 out [n, taps, c] of 16-bit floats; 1 w [n, c, taps]
// Push constants: uint out_offset, w_offset, count, taps, c, first_group
//     count: elements; c, out_offset and count are even
// Specialization: 0 local_size_x; 5 WEIGHT
// Dispatch: ceil(count / (8 local_size_x)) groups

#include "include/group.glsl"

layout(constant_id = 5) const uint WEIGHT = 0;

#define WEIGHT_BINDING 1
#define WEIGHT_ALIGNED false
#include "include/weight.glsl"

layout(std430, binding = 0) writeonly buffer Out { uint result[]; };

layout(push_constant) uniform Push {
    uint out_offset, w_offset, count, taps, c, first_group;
};

void main() {
    // Neighbouring invocations take neighbouring words.
    uint first = group_index(first_group) * 4 * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
    for (uint i = 0; i < 4; i++) {
        uint e = 2 * (first + i * gl_WorkGroupSize.x);
        if (e >= count) {
            return;
        }
        uint row = e / c;
        uint channel = e - row * c;
        uint n = row / taps;
        uint from = w_offset + (n * c + channel) * taps + (row - n * taps);
        result[(out_offset + e) >> 1] = packHalf2x16(vec2(weight(from), weight(from + taps)));
    }
}
