#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_cooperative_matrix : require
#extension GL_KHR_memory_scope_semantics : require
#extension GL_KHR_shader_subgroup_basic : require

// What conv3d.comp does, by matrix units, of x, tail and w of 16-bit floats. See include/units.glsl.
//
// A step is BK channels of one tap; all taps of some channels come first, then those of the next.
//
// Bindings, push constants: those of conv3d.comp; w is [n, kt, kh, kw, c], so that channel_stride is 1
// Specialization: 0 local_size_x = (BM / TM) (BN / TN) invocations of a subgroup; 1 BM; 2 BN; 3 TM; 4 TN (of a subgroup,
//     multiples of a unit's); 7 BIAS; 9 RESIDUAL: those of conv3d.comp; 20 UNIT_M; 21 UNIT_N; 22 UNIT_K; 23 BK (a multiple of
//     UNIT_K and eight)
// c, x_offset, tail_offset and w_offset are multiples of eight
// Dispatch: ceil(T'' H'' W'' / BM) ceil(n / BN) groups
// Shared memory: max((BM + BN) (2 BK + 16), 4 UNIT_M (TN + 4) (BM / TM) (BN / TN)) + 12 BM bytes

#include "include/group.glsl"

layout(constant_id = 1) const uint BM = 128;
layout(constant_id = 2) const uint BN = 64;
layout(constant_id = 3) const uint TM = 64;
layout(constant_id = 4) const uint TN = 32;
layout(constant_id = 7) const bool BIAS = false;
layout(constant_id = 9) const bool RESIDUAL = false;

#include "include/units.glsl"

layout(std430, binding = 0) buffer Out { float result[]; };
layout(std430, binding = 1) readonly buffer X { uvec4 x[]; };
layout(std430, binding = 2) readonly buffer Tail { uvec4 tail[]; };
layout(std430, binding = 3) readonly buffer W { uvec4 w[]; };
layout(std430, binding = 4) readonly buffer Bias { float bias[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset, tail_offset, w_offset, bias_offset;
    uint frames, height, width, c, n;
    uint out_frames, out_height, out_width;
    uint kt, kh, kw;
    uint stride_t, stride_h, stride_w;
    uint tail_frames, pad_front, pad_top, pad_left;
    uint row_stride, channel_stride, tap_stride, first_group;
};

// Where the first tap of each row of the tile lies, counted from the first frame of the tail (or of x) and the first row
// and column of a frame; negative in the padding.
shared int first_frame[BM];
shared int first_line[BM];
shared int first_column[BM];

uvec2 start;
// The first tap that is not in the padding for all rows of the tile.
uint first_tap;
// Of the step that is read.
uvec3 tap_place;
uint tap;
uint first_channel;

void begin(uint step) {
    uint taps = kt * kh * kw - first_tap;
    uint chunk = step / taps;
    first_channel = chunk * BK;
    tap = first_tap + step - chunk * taps;
    uint line = tap / kw;
    tap_place = uvec3(line / kh, line % kh, tap - line * kw);
}

uvec4 left8(uint row, uint term) {
    uint channel = first_channel + term;
    int t = first_frame[row] + int(tap_place.x);
    uint line = uint(first_line[row] + int(tap_place.y));
    uint column = uint(first_column[row] + int(tap_place.z));
    // What is negative is a large number now.
    if (t < 0 || line >= height || column >= width || channel >= c) {
        return uvec4(0);
    }
    uint place = line * width + column;
    uint frame = uint(t);
    if (frame < tail_frames) {
        return tail[(tail_offset + (frame * height * width + place) * c + channel) >> 3];
    }
    return x[(x_offset + ((frame - tail_frames) * height * width + place) * c + channel) >> 3];
}

uvec4 right8(uint row, uint term) {
    row += start.y;
    uint channel = first_channel + term;
    return row < n && channel < c ? w[(w_offset + row * row_stride + tap * tap_stride + channel) >> 3] : uvec4(0);
}

void finish(uint row, uint column, vec2 value) {
    row += start.x;
    column += start.y;
    for (uint i = 0; i < 2; i++) {
        if (row < out_frames * out_height * out_width && column + i < n) {
            uint at = out_offset + row * n + column + i;
            float sum = value[i] + (BIAS ? bias[bias_offset + column + i] : 0.0);
            result[at] = RESIDUAL ? result[at] + sum : sum;
        }
    }
}

void main() {
    uint pixels = out_frames * out_height * out_width;
    uvec2 tiles = uvec2((pixels + BM - 1) / BM, (n + BN - 1) / BN);
    uint group = group_index(first_group);
    if (group >= tiles.x * tiles.y) {
        return;
    }
    start = tile_of(group, tiles) * uvec2(BM, BN);
    for (uint row = gl_LocalInvocationID.x; row < BM; row += gl_WorkGroupSize.x) {
        uint place = start.x + row;
        uint line = place / out_width;
        uint frame = line / out_height;
        // Rows beyond the last pixel see nothing.
        first_frame[row] = place < pixels ? int(frame * stride_t) - int(pad_front) : -0x40000000;
        first_line[row] = int((line - frame * out_height) * stride_h) - int(pad_top);
        first_column[row] = int((place - line * out_width) * stride_w) - int(pad_left);
    }
    barrier();
    uint last_place = min(start.x + BM, pixels) - 1;
    uint last_frame = last_place / (out_width * out_height) * stride_t;
    first_tap = min(last_frame < pad_front ? pad_front - last_frame : 0, kt) * kh * kw;
    multiply_units((kt * kh * kw - first_tap) * ((c + BK - 1) / BK));
}
