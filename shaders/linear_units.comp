#version 450
#extension GL_GOOGLE_include_directive : require

// linear and linear_add by matrix units, of x and w of 16-bit floats. See include/units.glsl.
//
// Bindings, push constants: those of linear.comp
// Specialization: 0 local_size_x = (BM / TM) (BN / TN) invocations of a subgroup; 1 BM; 2 BN; 3 TM; 4 TN (of a subgroup,
//     multiples of a unit's); 7 to 10, 12: those of linear.comp; 20 UNIT_M; 21 UNIT_N; 22 UNIT_K; 23 BK (a
//     multiple of UNIT_K and eight)
// k, x_offset and w_offset are multiples of eight
// Dispatch: ceil(rows / BM) ceil(n / BN) groups
// Shared memory: max((BM + BN) (2 BK + 16), 4 UNIT_M (TN + 4) (BM / TM) (BN / TN)) bytes

#include "include/matrix.glsl"
#include "include/group.glsl"
#include "include/math.glsl"

layout(constant_id = 1) const uint BM = 128;
layout(constant_id = 2) const uint BN = 128;
layout(constant_id = 3) const uint TM = 64;
layout(constant_id = 4) const uint TN = 64;
layout(constant_id = 7) const bool BIAS = false;
layout(constant_id = 8) const uint ACTIVATION = 0;
layout(constant_id = 9) const bool RESIDUAL = false;
layout(constant_id = 10) const bool GATE = false;
layout(constant_id = 12) const bool OUT_HALVES = false;

#include "include/units.glsl"
#include "include/result.glsl"

layout(std430, binding = 1) readonly buffer X { uvec4 x[]; };
layout(std430, binding = 2) readonly buffer W { uvec4 w[]; };
layout(std430, binding = 3) readonly buffer Bias { float bias[]; };
layout(std430, binding = 4) readonly buffer Gate { float gate[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset, w_offset, bias_offset, gate_offset;
    uint rows, k, n, stride, first_group;
};

uvec2 start;
uint first_term;

void begin(uint step) {
    first_term = step * BK;
}

uvec4 left8(uint row, uint term) {
    row += start.x;
    term += first_term;
    return row < rows && term < k ? x[(x_offset + row * k + term) >> 3] : uvec4(0);
}

uvec4 right8(uint row, uint term) {
    row += start.y;
    term += first_term;
    return row < n && term < k ? w[(w_offset + row * k + term) >> 3] : uvec4(0);
}

void finish(uint row, uint column, vec2 value) {
    row += start.x;
    column += start.y;
    if (row >= rows || column >= n) {
        return;
    }
    bool two = column + 1 < n;
    uint second = two ? column + 1 : column;
    uint at = out_offset + row * stride + column;
    if (BIAS) {
        value += vec2(bias[bias_offset + column], bias[bias_offset + second]);
    }
    if (RESIDUAL) {
        vec2 factor = GATE ? vec2(gate[gate_offset + column], gate[gate_offset + second]) : vec2(1.0);
        value = vec2(result[at], result[two ? at + 1 : at]) + factor * value;
    } else {
        value = vec2(activate(value.x, ACTIVATION), activate(value.y, ACTIVATION));
    }
    write_pair(at, value, two);
}

void main() {
    uvec2 tiles = uvec2((rows + BM - 1) / BM, (n + BN - 1) / BN);
    uint group = group_index(first_group);
    if (group >= tiles.x * tiles.y) {
        return;
    }
    start = tile_of(group, tiles) * uvec2(BM, BN);
    multiply_units((k + BK - 1) / BK);
}
