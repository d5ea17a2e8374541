#version 450
#extension GL_GOOGLE_include_directive : require

// Rotates interleaved pairs of every head by the angle of its row, in place. Four pairs an invocation.
//
// Bindings: 0 x [rows, heads head_dim] (in place); 1 cos [table_rows, half]; 2 sin
// Push constants: uint x_offset, cos_offset, sin_offset, pairs, row_pairs, half_dim, table_rows, first_group
//     pairs: of x; row_pairs: heads head_dim / 2; half_dim: head_dim / 2
// Specialization: 0 local_size_x
// Dispatch: ceil(pairs / (4 local_size_x)) groups

#include "include/group.glsl"

const uint EACH = 4;

layout(std430, binding = 0) buffer X { float x[]; };
layout(std430, binding = 1) readonly buffer Cos { float cosines[]; };
layout(std430, binding = 2) readonly buffer Sin { float sines[]; };

layout(push_constant) uniform Push {
    uint x_offset, cos_offset, sin_offset;
    uint pairs, row_pairs, half_dim, table_rows, first_group;
};

void main() {
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    for (uint step = 0; step < EACH; step++) {
        uint pair = start + step * gl_WorkGroupSize.x;
        if (pair < pairs) {
            uint row = pair / row_pairs;
            uint entry = row % table_rows * half_dim + (pair - row * row_pairs) % half_dim;
            float c = cosines[cos_offset + entry];
            float s = sines[sin_offset + entry];
            uint at = x_offset + 2 * pair;
            float a = x[at];
            float b = x[at + 1];
            x[at] = a * c - b * s;
            x[at + 1] = a * s + b * c;
        }
    }
}
