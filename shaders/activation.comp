#version 450
#extension GL_GOOGLE_include_directive : require

// An activation of every number, in place. Four numbers an invocation.
//
// Bindings: 0 x (in place)
// Push constants: uint x_offset, count, first_group
// Specialization: 0 local_size_x; 1 ACTIVATION (0 none, 1 SiLU, 2 GELU in its tanh form)
// Dispatch: ceil(count / (4 local_size_x)) groups

#include "include/group.glsl"
#include "include/math.glsl"

layout(constant_id = 1) const uint ACTIVATION = 0;

const uint EACH = 4;

layout(std430, binding = 0) buffer X { float x[]; };

layout(push_constant) uniform Push {
    uint x_offset;
    uint count, first_group;
};

void main() {
    uint start = group_index(first_group) * gl_WorkGroupSize.x * EACH + gl_LocalInvocationID.x;
    for (uint step = 0; step < EACH; step++) {
        uint i = start + step * gl_WorkGroupSize.x;
        if (i < count) {
            x[x_offset + i] = activate(x[x_offset + i], ACTIVATION);
        }
    }
}
