#version 450
#extension GL_GOOGLE_include_directive : require

// modulate, x (1 + scale) + shift, and gated_add, x + y gate, in place. Four numbers an invocation.
//
// Bindings: 0 x (in place); 1 a: scale, or y of gated_add; 2 b: shift, or gate
// Push constants: uint x_offset, a_offset, b_offset, count, width, first_group
//     count: numbers of x; width: of a row, of scale, shift and gate
// Specialization: 0 local_size_x; 1 GATED_ADD (0 modulate, 1 gated_add)
// Dispatch: ceil(count / (4 local_size_x)) groups

#include "include/group.glsl"

layout(constant_id = 1) const bool GATED_ADD = false;

const uint EACH = 4;

layout(std430, binding = 0) buffer X { float x[]; };
layout(std430, binding = 1) readonly buffer A { float a[]; };
layout(std430, binding = 2) readonly buffer B { float b[]; };

layout(push_constant) uniform Push {
    uint x_offset, a_offset, b_offset;
    uint count, width, first_group;
};

void main() {
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    for (uint step = 0; step < EACH; step++) {
        uint i = start + step * gl_WorkGroupSize.x;
        if (i < count) {
            uint column = i % width;
            float value = x[x_offset + i];
            x[x_offset + i] = GATED_ADD ? value + a[a_offset + i] * b[b_offset + column]
                                        : value * (1.0 + a[a_offset + column]) + b[b_offset + column];
        }
    }
}
