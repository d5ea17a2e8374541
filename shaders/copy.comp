#version 450
#extension GL_GOOGLE_include_directive : require

// Copies rows between places of any stride, or fills them: copies, last_frames (twice), repeat_rows (the source's rows
// over and over), constants. Words of 32 bits, whatever they hold. Four words an invocation.
//
// Bindings: 0 out; 1 x (any buffer if FILL)
// Push constants: uint out_offset, x_offset, rows, width, out_stride, x_stride, x_rows, value, first_group
//     row r of out is row r % x_rows of x; value: the bits of what is filled in
// Specialization: 0 local_size_x; 1 FILL (0 copy, 1 fill)
// Dispatch: ceil(rows width / (4 local_size_x)) groups

#include "include/group.glsl"

layout(constant_id = 1) const bool FILL = false;

const uint EACH = 4;

layout(std430, binding = 0) writeonly buffer Out { uint result[]; };
layout(std430, binding = 1) readonly buffer X { uint x[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset;
    uint rows, width, out_stride, x_stride, x_rows, value, first_group;
};

void main() {
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    for (uint step = 0; step < EACH; step++) {
        uint i = start + step * gl_WorkGroupSize.x;
        if (i < rows * width) {
            uint row = i / width;
            uint column = i - row * width;
            uint word = FILL ? value : x[x_offset + row % x_rows * x_stride + column];
            result[out_offset + row * out_stride + column] = word;
        }
    }
}
