#version 450
#extension GL_GOOGLE_include_directive : require

// rms_norm over the whole row, then rope of every head: what queries and keys of a block go through, in one pass.
//
// Bindings: 0 out [rows, width]; 1 x; 2 weight [width]; 3 cos [table_rows, half_dim]; 4 sin. out may be x.
// Push constants: uint out_offset, x_offset, weight_offset, cos_offset, sin_offset, rows, width, half_dim, table_rows,
//     first_group; float eps
//     width: heads head_dim; half_dim: head_dim / 2
// Specialization: 0 local_size_x (a multiple of LANES); 1 LANES (invocations of a row, a power of two); 2 X_HALVES (x is of
//     16-bit floats, width and x_offset even); 3 OUT_HALVES
// Dispatch: ceil(rows / (local_size_x / LANES)) groups
// Shared memory: 4 local_size_x bytes

#include "include/group.glsl"
#include "include/row.glsl"

layout(constant_id = 2) const bool X_HALVES = false;
layout(constant_id = 3) const bool OUT_HALVES = false;

const bool ALIGNED = false;
#include "include/four.glsl"
#include "include/result.glsl"

FOUR(x, 1, X_HALVES)
layout(std430, binding = 2) readonly buffer Weight { float weight[]; };
layout(std430, binding = 3) readonly buffer Cos { float cosines[]; };
layout(std430, binding = 4) readonly buffer Sin { float sines[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset, weight_offset, cos_offset, sin_offset;
    uint rows, width, half_dim, table_rows, first_group;
    float eps;
};

void main() {
    uint lane = gl_LocalInvocationID.x % LANES;
    uint row = group_index(first_group) * (gl_WorkGroupSize.x / LANES) + gl_LocalInvocationID.x / LANES;
    // Invocations without a row take part in the barriers.
    uint end = row < rows ? width : 0;
    uint from = x_offset + row * width;

    float squares = 0.0;
    for (uint i = lane; i < end; i += LANES) {
        float number = x_at(from + i);
        squares = fma(number, number, squares);
    }
    float factor = 1.0 / sqrt(row_sum(squares) / float(width) + eps);

    uint to = out_offset + row * width;
    uint table = row % table_rows * half_dim;
    for (uint pair = lane; 2 * pair < end; pair += LANES) {
        uint entry = table + pair % half_dim;
        float c = cosines[cos_offset + entry];
        float s = sines[sin_offset + entry];
        float a = x_at(from + 2 * pair) * factor * weight[weight_offset + 2 * pair];
        float b = x_at(from + 2 * pair + 1) * factor * weight[weight_offset + 2 * pair + 1];
        write_pair(to + 2 * pair, vec2(a * c - b * s, a * s + b * c), true);
    }
}
