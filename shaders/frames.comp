#version 450
#extension GL_GOOGLE_include_directive : require

// interleave_frames: x [T, H, W, 2c] to out [2T, H, W, c], frame 2t + j from channels j c .. (j + 1) c of frame t. Words of
// 32 bits, whatever they hold. Four words an invocation.
//
// Bindings: 0 out; 1 x
// Push constants: uint out_offset, x_offset, count, pixels, c, first_group
//     count: words of x; pixels: of a frame; c: channels of the result
// Specialization: 0 local_size_x
// Dispatch: ceil(count / (4 local_size_x)) groups

#include "include/group.glsl"

const uint EACH = 4;

layout(std430, binding = 0) writeonly buffer Out { uint result[]; };
layout(std430, binding = 1) readonly buffer X { uint x[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset;
    uint count, pixels, c, first_group;
};

void main() {
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    for (uint step = 0; step < EACH; step++) {
        uint i = start + step * gl_WorkGroupSize.x;
        if (i < count) {
            uint pixel = i / c;
            uint frame = pixel / pixels;
            uint place = frame / 2 * pixels + (pixel - frame * pixels);
            result[out_offset + i] = x[x_offset + (2 * place + frame % 2) * c + (i - pixel * c)];
        }
    }
}
