#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require

// What probe.comp does, of 16-bit floats in pairs.
//
// Bindings: 0 out, a number for each invocation
// Push constants: uint out_offset, rounds, first_group
// Specialization: 0 local_size_x
// Dispatch: groups of which each does 512 rounds local_size_x operations
// Shared memory: none

#define NUMBER float16_t
#define FOUR f16vec4
#include "include/probe.glsl"
