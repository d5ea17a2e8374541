#version 450
#extension GL_GOOGLE_include_directive : require

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

#include "include/matrix.glsl"
#include "include/group.glsl"

layout(constant_id = 1) const uint BM = 128;
layout(constant_id = 2) const uint BN = 64;
layout(constant_id = 3) const uint TM = 64;
layout(constant_id = 4) const uint TN = 32;
layout(constant_id = 7) const bool BIAS = false;
layout(constant_id = 9) const bool RESIDUAL = false;

#include "include/units.glsl"
#include "include/pixels.glsl"

layout(std430, binding = 0) buffer Out { float result[]; };
layout(std430, binding = 1) readonly buffer X { uvec4 x[]; };
layout(std430, binding = 2) readonly buffer Tail { uvec4 tail[]; };
layout(std430, binding = 3) readonly buffer W { uvec4 w[]; };
layout(std430, binding = 4) readonly buffer Bias { float bias[]; };

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
    uint place = seen_pixel(row, tap_place);
    if (place == IN_PADDING || channel >= c) {
        return uvec4(0);
    }
    uint before = tail_frames * height * width;
    if (place < before) {
        return tail[(tail_offset + place * c + channel) >> 3];
    }
    return x[(x_offset + (place - before) * c + channel) >> 3];
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
    place_rows(start.x, pixels);
    barrier();
    uint last_frame = last_frame_of(start.x, pixels);
    first_tap = min(last_frame < pad_front ? pad_front - last_frame : 0, kt) * kh * kw;
    multiply_units((kt * kh * kw - first_tap) * ((c + BK - 1) / BK));
}
