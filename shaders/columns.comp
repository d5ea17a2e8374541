#version 450
#extension GL_GOOGLE_include_directive : require

// Some neighbouring columns of a matrix as a matrix of their own, for attention whose keys are too large to be seen at one
// time. Words of 32 bits, whatever they hold. Four words an invocation.
//
// Bindings: 0 out [rows, width]; 1 x, from the first row's first word that is taken on
// Push constants: uint out_offset, x_offset, count, width, stride, first_group
//     count: words of out; width, stride: words of a row of out, and from one row of x to the next
// Specialization: 0 local_size_x; 1 HALVES (offsets are in 16-bit floats, two to a word, and even)
// Dispatch: ceil(count / (4 local_size_x)) groups

#include "include/group.glsl"

layout(constant_id = 1) const bool HALVES = false;

const uint EACH = 4;

layout(std430, binding = 0) writeonly buffer Out { uint result[]; };
layout(std430, binding = 1) readonly buffer X { uint x[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset;
    uint count, width, stride, first_group;
};

void main() {
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    uint shift = HALVES ? 1 : 0;
    for (uint step = 0; step < EACH; step++) {
        uint i = start + step * gl_WorkGroupSize.x;
        if (i < count) {
            uint row = i / width;
            result[(out_offset >> shift) + i] = x[(x_offset >> shift) + row * stride + (i - row * width)];
        }
    }
}
