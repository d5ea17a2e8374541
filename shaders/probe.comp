#version 450
#extension GL_GOOGLE_include_directive : require

// Multiplications and additions in registers, as fast as they come: what no other shader exceeds.
//
// Bindings: 0 out, a number for each invocation
// Push constants: uint out_offset, rounds, first_group
// Specialization: 0 local_size_x
// Dispatch: groups of which each does 512 rounds local_size_x operations
// Shared memory: none

#define NUMBER float
#define FOUR vec4
#include "include/probe.glsl"
