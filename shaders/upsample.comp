#version 450
#extension GL_GOOGLE_include_directive : require

// upsample_nearest: every pixel of x [T, H, W, c] factor_h times down and factor_w times to the right. Words of 32 bits,
// whatever they hold. Four words an invocation.
//
// Bindings: 0 out [T, factor_h H, factor_w W, c]; 1 x
// Push constants: uint out_offset, x_offset, count, width, c, factor_h, factor_w, first_group
//     count: words of out; width: pixels of a line of x
// Specialization: 0 local_size_x
// Dispatch: ceil(count / (4 local_size_x)) groups

#include "include/group.glsl"

const uint EACH = 4;

layout(std430, binding = 0) writeonly buffer Out { uint result[]; };
layout(std430, binding = 1) readonly buffer X { uint x[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset;
    uint count, width, c, factor_h, factor_w, first_group;
};

void main() {
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    for (uint step = 0; step < EACH; step++) {
        uint i = start + step * gl_WorkGroupSize.x;
        if (i < count) {
            uint pixel = i / c;
            // Lines of all frames follow each other, so the frame does not matter.
            uint line = pixel / (width * factor_w);
            uint column = pixel - line * (width * factor_w);
            uint source = line / factor_h * width + column / factor_w;
            result[out_offset + i] = x[x_offset + source * c + (i - pixel * c)];
        }
    }
}
