#version 450
#extension GL_GOOGLE_include_directive : require

// patchify and unpatchify: a latent [c, T, H, W] and its patches as rows [T/pt H/ph W/pw, ..]. The columns of patchify are in
// the order c, pt, ph, pw, those of unpatchify in the order pt, ph, pw, c. Words of 32 bits, whatever they hold. Four words
// of the result an invocation.
//
// Bindings: 0 out; 1 x
// Push constants: uint out_offset, x_offset, c, frames, height, width, pt, ph, pw, first_group
//     frames, height, width: of the latent
// Specialization: 0 local_size_x; 1 UNPATCHIFY (0 patchify, 1 unpatchify)
// Dispatch: ceil(c T H W / (4 local_size_x)) groups

#include "include/group.glsl"

layout(constant_id = 1) const bool UNPATCHIFY = false;

const uint EACH = 4;

layout(std430, binding = 0) writeonly buffer Out { uint result[]; };
layout(std430, binding = 1) readonly buffer X { uint x[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset;
    uint c, frames, height, width, pt, ph, pw, first_group;
};

// Takes `i % n` off `i`.
uint take(inout uint i, uint n) {
    uint rest = i % n;
    i /= n;
    return rest;
}

void main() {
    uint count = c * frames * height * width;
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    for (uint step = 0; step < EACH; step++) {
        uint i = start + step * gl_WorkGroupSize.x;
        if (i >= count) {
            continue;
        }
        uint rest = i;
        uint source;
        if (UNPATCHIFY) {
            uint column = take(rest, width);
            uint line = take(rest, height);
            uint frame = take(rest, frames);
            uint token = (frame / pt * (height / ph) + line / ph) * (width / pw) + column / pw;
            uint inside = (frame % pt * ph + line % ph) * pw + column % pw;
            source = (token * pt * ph * pw + inside) * c + rest;
        } else {
            uint b = take(rest, pw);
            uint a = take(rest, ph);
            uint t = take(rest, pt);
            uint channel = take(rest, c);
            uint column = take(rest, width / pw) * pw + b;
            uint line = take(rest, height / ph) * ph + a;
            uint frame = rest * pt + t;
            source = ((channel * frames + frame) * height + line) * width + column;
        }
        result[out_offset + i] = x[x_offset + source];
    }
}
