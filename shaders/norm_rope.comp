#version 450
#extension GL_GOOGLE_include_directive : require

// rms_norm over the whole row, then rope of every head: what queries and keys of a block go through, in one pass.
//
// Bindings: 0 out [rows, width]; 1 x; 2 weight [width]; 3 cos [table_rows, half_dim]; 4 sin. out may be x.
// Push constants: uint out_offset, x_offset, weight_offset, cos_offset, sin_offset, rows, width, half_dim, table_rows,
//     first_group; float eps
//     width: heads head_dim; half_dim: head_dim / 2
// Specialization: 0 local_size_x (a multiple of LANES); 1 LANES (invocations of a row, a power of two)
// Dispatch: ceil(rows / (local_size_x / LANES)) groups
// Shared memory: 4 local_size_x bytes

#include "include/group.glsl"
#include "include/row.glsl"

layout(std430, binding = 0) writeonly buffer Out { float result[]; };
layout(std430, binding = 1) readonly buffer X { float x[]; };
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
        squares = fma(x[from + i], x[from + i], squares);
    }
    float factor = 1.0 / sqrt(row_sum(squares) / float(width) + eps);

    uint to = out_offset + row * width;
    uint table = row % table_rows * half_dim;
    for (uint pair = lane; 2 * pair < end; pair += LANES) {
        uint entry = table + pair % half_dim;
        float c = cosines[cos_offset + entry];
        float s = sines[sin_offset + entry];
        float a = x[from + 2 * pair] * factor * weight[weight_offset + 2 * pair];
        float b = x[from + 2 * pair + 1] * factor * weight[weight_offset + 2 * pair + 1];
        result[to + 2 * pair] = a * c - b * s;
        result[to + 2 * pair + 1] = a * s + b * c;
    }
}
