#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

// linear and linear_add: out = activation(x w^T + bias), or out += gate (x w^T + bias). See include/tile.glsl.
//
// Bindings: 0 out [rows, n] (in place if RESIDUAL); 1 x [rows, k]; 2 w [n, k]; 3 bias [n]; 4 gate [n]
// Push constants: uint out_offset, x_offset, w_offset, bias_offset, gate_offset, rows, k, n, stride, first_group
//     stride: from one row of out to the next, n or more
//     w_offset in elements of w; a first row of linear_add is part of out_offset
// Specialization: 0 local_size_x = (BM / TM) (BN / TN); 1 BM; 2 BN; 3 TM; 4 TN (even); 5 WEIGHT;
//     6 ALIGNED (k, x_offset and w_offset are multiples of four); 7 BIAS; 8 ACTIVATION; 9 RESIDUAL; 10 GATE (with RESIDUAL);
//     11 X_HALVES (x is of 16-bit floats, k and x_offset even); 12 OUT_HALVES (so is out, stride and out_offset even; not with
//     RESIDUAL)
// Dispatch: ceil(rows / BM) ceil(n / BN) groups
// Shared memory: 80 (BM + BN) bytes

#include "include/group.glsl"
#include "include/math.glsl"

layout(constant_id = 1) const uint BM = 64;
layout(constant_id = 2) const uint BN = 64;
layout(constant_id = 3) const uint TM = 8;
layout(constant_id = 4) const uint TN = 4;
layout(constant_id = 5) const uint WEIGHT = 0;
layout(constant_id = 6) const bool ALIGNED = false;
layout(constant_id = 7) const bool BIAS = false;
layout(constant_id = 8) const uint ACTIVATION = 0;
layout(constant_id = 9) const bool RESIDUAL = false;
layout(constant_id = 10) const bool GATE = false;
layout(constant_id = 11) const bool X_HALVES = false;
layout(constant_id = 12) const bool OUT_HALVES = false;

#define WEIGHT_BINDING 2
#define WEIGHT_ALIGNED ALIGNED
#include "include/four.glsl"
#include "include/weight.glsl"
#include "include/tile.glsl"
#include "include/result.glsl"

FOUR(x, 1, X_HALVES)
layout(std430, binding = 3) readonly buffer Bias { float bias[]; };
layout(std430, binding = 4) readonly buffer Gate { float gate[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset, w_offset, bias_offset, gate_offset;
    uint rows, k, n, stride, first_group;
};

void main() {
    uvec2 tiles = uvec2((rows + BM - 1) / BM, (n + BN - 1) / BN);
    uint group = group_index(first_group);
    if (group >= tiles.x * tiles.y) {
        return;
    }
    uvec2 start = tile_of(group, tiles) * uvec2(BM, BN);
    uint me = gl_LocalInvocationID.x;
    uint tx = me % TX;
    uint ty = me / TX;

    clear_totals();
    uint staged = 0;
    for (uint first = 0; first < k; first += BK) {
        barrier();
        for (uint i = me; i < BM * QUADS; i += gl_WorkGroupSize.x) {
            uint row = start.x + i / QUADS;
            uint term = first + i % QUADS * 4;
            bool inside = row < rows && term < k;
            vec4 four = inside ? x4(x_offset + row * k + term, k - term) : vec4(0.0);
            tiles_memory[left_at(i / QUADS, i % QUADS)] = four;
        }
        for (uint i = me; i < BN * QUADS; i += gl_WorkGroupSize.x) {
            uint row = start.y + paired_column(i / QUADS);
            uint term = first + i % QUADS * 4;
            bool inside = row < n && term < k;
            vec4 four = inside ? weight4(w_offset + row * k + term, k - term) : vec4(0.0);
            tiles_memory[right_at(i / QUADS, i % QUADS)] = four;
        }
        barrier();
        multiply_tiles(tx, ty);
        staged++;
        if (staged % FLUSH == 0) {
            flush_sums();
        }
    }
    flush_sums();

    [[unroll]] for (uint j = 0; j < TN; j += 2) {
        uint column = start.y + paired_column(tx + j * TX);
        if (column >= n) {
            continue;
        }
        bool two = column + 1 < n;
        uint second = two ? column + 1 : column;
        vec2 added = BIAS ? vec2(bias[bias_offset + column], bias[bias_offset + second]) : vec2(0.0);
        vec2 factor = GATE ? vec2(gate[gate_offset + column], gate[gate_offset + second]) : vec2(1.0);
        [[unroll]] for (uint i = 0; i < TM; i++) {
            uint row = start.x + ty + i * TY;
            if (row < rows) {
                uint at = out_offset + row * stride + column;
                vec2 value = vec2(totals[i * TN + j], totals[i * TN + j + 1]) + added;
                if (RESIDUAL) {
                    value = vec2(result[at], result[two ? at + 1 : at]) + factor * value;
                } else {
                    value = vec2(activate(value.x, ACTIVATION), activate(value.y, ACTIVATION));
                }
                write_pair(at, value, two);
            }
        }
    }
}
