#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

// conv3d on channels-last video as an implicit GEMM: rows are pixels of the result, columns its channels, terms the
// channels of each tap. No patch matrix is formed; see include/tile.glsl.
//
// Sixteen channels of all taps come first, then the next sixteen: a workgroup's pixels overlap in what they read, and so
// do the taps of a weight as it is stored, so most of both come from the cache.
//
// Bindings: 0 out [T'', H'', W'', n] (in place if RESIDUAL); 1 x [T, H, W, c]; 2 tail [T', H, W, c]; 3 w; 4 bias [n]
// Push constants: uint out_offset, x_offset, tail_offset, w_offset, bias_offset, frames, height, width, c, n,
//     out_frames, out_height, out_width, kt, kh, kw, stride_t, stride_h, stride_w, tail_frames, pad_front, pad_top, pad_left,
//     row_stride, channel_stride, tap_stride, first_group
//     height, width: of x as it is stored; padding at bottom and right is part of out_height and out_width
//     row_stride: from one row of the weight to the next; channel_stride, tap_stride: from one element of a row to the next
//     channel or tap: kt kh kw and 1 for [n, c, kt, kh, kw] as in checkpoints, 1 and c for [n, kt, kh, kw, c]
// Specialization: 0 local_size_x = (BM / TM) (BN / TN); 1 BM; 2 BN; 3 TM; 4 TN; 5 WEIGHT;
//     6 ALIGNED (c, x_offset and tail_offset are multiples of four); 7 BIAS;
//     8 PACKED (channel_stride is 1, c, tap_stride and w_offset are multiples of four); 9 RESIDUAL (out += the result);
//     10 X_HALVES (x is of 16-bit floats, c and x_offset even); 11 TAIL_HALVES
// Dispatch: ceil(T'' H'' W'' / BM) ceil(n / BN) groups
// Shared memory: 80 (BM + BN) + 12 BM bytes

#include "include/group.glsl"

layout(constant_id = 1) const uint BM = 64;
layout(constant_id = 2) const uint BN = 64;
layout(constant_id = 3) const uint TM = 8;
layout(constant_id = 4) const uint TN = 4;
layout(constant_id = 5) const uint WEIGHT = 0;
layout(constant_id = 6) const bool ALIGNED = false;
layout(constant_id = 7) const bool BIAS = false;
layout(constant_id = 8) const bool PACKED = false;
layout(constant_id = 9) const bool RESIDUAL = false;
layout(constant_id = 10) const bool X_HALVES = false;
layout(constant_id = 11) const bool TAIL_HALVES = false;

#define WEIGHT_BINDING 3
#define WEIGHT_ALIGNED PACKED
#include "include/four.glsl"
#include "include/weight.glsl"
#include "include/tile.glsl"
#include "include/pixels.glsl"

layout(std430, binding = 0) buffer Out { float result[]; };
FOUR(x, 1, X_HALVES)
FOUR(tail, 2, TAIL_HALVES)
layout(std430, binding = 4) readonly buffer Bias { float bias[]; };

// Channels `channel` to `channel + 3` of what a tap of the tile's row sees.
vec4 pixel(uint row, uvec3 tap, uint channel) {
    uint place = seen_pixel(row, tap);
    if (place == IN_PADDING || channel >= c) {
        return vec4(0.0);
    }
    uint before = tail_frames * height * width;
    if (place < before) {
        return tail4(tail_offset + place * c + channel, c - channel);
    }
    return x4(x_offset + (place - before) * c + channel, c - channel);
}

// Channels `channel` to `channel + 3` of a tap of the weight's row.
vec4 tap_weight(uint row, uint tap, uint channel) {
    if (row >= n || channel >= c) {
        return vec4(0.0);
    }
    uint at = w_offset + row * row_stride + tap * tap_stride + channel * channel_stride;
    if (PACKED) {
        return weight4(at, c - channel);
    }
    vec4 four = vec4(weight(at), 0.0, 0.0, 0.0);
    [[unroll]] for (uint i = 1; i < 4; i++) {
        if (channel + i < c) {
            four[i] = weight(at + i * channel_stride);
        }
    }
    return four;
}

void main() {
    uint pixels = out_frames * out_height * out_width;
    uvec2 tiles = uvec2((pixels + BM - 1) / BM, (n + BN - 1) / BN);
    uint group = group_index(first_group);
    if (group >= tiles.x * tiles.y) {
        return;
    }
    uvec2 start = tile_of(group, tiles) * uvec2(BM, BN);
    uint me = gl_LocalInvocationID.x;
    uint tx = me % TX;
    uint ty = me / TX;

    place_rows(start.x, pixels);
    uint last_frame = last_frame_of(start.x, pixels);

    clear_totals();
    uint staged = 0;
    for (uint first = 0; first < c; first += BK) {
        for (uint dt = 0; dt < kt; dt++) {
            if (last_frame + dt < pad_front) {
                continue;
            }
            for (uint dy = 0; dy < kh; dy++) {
                for (uint dx = 0; dx < kw; dx++) {
                    uint tap = (dt * kh + dy) * kw + dx;
                    barrier();
                    for (uint i = me; i < BM * QUADS; i += gl_WorkGroupSize.x) {
                        vec4 four = pixel(i / QUADS, uvec3(dt, dy, dx), first + i % QUADS * 4);
                        tiles_memory[left_at(i / QUADS, i % QUADS)] = four;
                    }
                    for (uint i = me; i < BN * QUADS; i += gl_WorkGroupSize.x) {
                        vec4 four = tap_weight(start.y + i / QUADS, tap, first + i % QUADS * 4);
                        tiles_memory[right_at(i / QUADS, i % QUADS)] = four;
                    }
                    barrier();
                    multiply_tiles(tx, ty);
                    staged++;
                    if (staged % FLUSH == 0) {
                        flush_sums();
                    }
                }
            }
        }
    }
    flush_sums();

    [[unroll]] for (uint j = 0; j < TN; j++) {
        uint column = start.y + tx + j * TX;
        if (column >= n) {
            continue;
        }
        float added = BIAS ? bias[bias_offset + column] : 0.0;
        [[unroll]] for (uint i = 0; i < TM; i++) {
            uint row = start.x + ty + i * TY;
            if (row < pixels) {
                uint at = out_offset + row * n + column;
                float value = totals[i * TN + j] + added;
                result[at] = RESIDUAL ? result[at] + value : value;
            }
        }
    }
}
