#version 450
#extension GL_GOOGLE_include_directive : require

// The place of the first number that is not finite: one word that the host sets to 0xffffffff before. Several tensors, or
// several blocks of a model, have a word each.
//
// Bindings: 0 out (one word, lowered in place); 1 x
// Push constants: uint out_offset, x_offset, count, first_group
// Specialization: 0 local_size_x; 1 EACH (numbers that an invocation looks at)
// Dispatch: ceil(count / (EACH local_size_x)) groups
// Shared memory: 4 bytes

#include "include/group.glsl"

layout(constant_id = 1) const uint EACH = 16;

layout(std430, binding = 0) buffer Out { uint first[]; };
layout(std430, binding = 1) readonly buffer X { uint x[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset;
    uint count, first_group;
};

const uint NONE = 0xffffffffu;
const uint EXPONENT = 0x7f800000u;

shared uint lowest;

void main() {
    if (gl_LocalInvocationID.x == 0) {
        lowest = NONE;
    }
    barrier();
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    for (uint step = 0; step < EACH; step++) {
        uint i = start + step * gl_WorkGroupSize.x;
        // Looked at as bits: comparisons with what is no number are up to the device.
        if (i < count && (x[x_offset + i] & EXPONENT) == EXPONENT) {
            atomicMin(lowest, i);
            break;
        }
    }
    barrier();
    // The smallest of integers: the same whatever the order.
    if (gl_LocalInvocationID.x == 0 && lowest != NONE) {
        atomicMin(first[out_offset], lowest);
    }
}
