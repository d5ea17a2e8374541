#version 450
#extension GL_GOOGLE_include_directive : require

// add, mul, affine and clamp, in place. Four numbers an invocation.
//
// Bindings: 0 x (in place); 1 a: y of add and mul, scale of affine; 2 b: shift of affine
// Push constants: uint x_offset, a_offset, b_offset, count, width, first_group; float low, high
//     count: numbers of x; width: of a row of affine; low, high: of clamp
// Specialization: 0 local_size_x; 1 OP (0 add, 1 mul, 2 affine, 3 clamp)
// Dispatch: ceil(count / (4 local_size_x)) groups

#include "include/group.glsl"

layout(constant_id = 1) const uint OP = 0;

const uint ADD = 0;
const uint MUL = 1;
const uint AFFINE = 2;
const uint EACH = 4;

layout(std430, binding = 0) buffer X { float x[]; };
layout(std430, binding = 1) readonly buffer A { float a[]; };
layout(std430, binding = 2) readonly buffer B { float b[]; };

layout(push_constant) uniform Push {
    uint x_offset, a_offset, b_offset;
    uint count, width, first_group;
    float low, high;
};

float apply(float value, uint i) {
    if (OP == ADD) {
        return value + a[a_offset + i];
    }
    if (OP == MUL) {
        return value * a[a_offset + i];
    }
    if (OP == AFFINE) {
        uint column = i % width;
        return value * a[a_offset + column] + b[b_offset + column];
    }
    // Not the built-in clamp, which may make a number of a NaN.
    return value < low ? low : (value > high ? high : value);
}

void main() {
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    for (uint step = 0; step < EACH; step++) {
        uint i = start + step * gl_WorkGroupSize.x;
        if (i < count) {
            x[x_offset + i] = apply(x[x_offset + i], i);
        }
    }
}
