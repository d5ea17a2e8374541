#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

// softmax(scale q k^T + bias) v of one branch, for every head: flash attention (Dao et al., arXiv 2205.14135) with the
// online softmax of Milakov and Gimelshein (arXiv 1805.02867).
//
// A workgroup takes BM queries of a head and walks over the keys, BN at a time. Scores are an inner product of tiles, a
// slice of head_dim after the other, so that no head is too wide for shared memory; the weights go through shared memory;
// the result stays in registers, an invocation has TM rows of 4 VECTORS numbers.
//
// Bindings: 0 out; 1 q; 2 k; 3 v; 4 bias: [keys] or [heads, queries, keys]
// Push constants: uint out_offset, q_offset, k_offset, v_offset, bias_offset, heads, head_dim, queries, keys, q_stride,
//     kv_stride, out_stride, first_group; float scale
//     strides: from one row to the next; keys: how many rows of k and v count
// Specialization: 0 local_size_x = (BM / TM) (BN / 4); 1 BM; 2 BN (a multiple of 16); 3 TM; 4 VECTORS (head_dim is at most
//     BN VECTORS); 5 SLICE (keys of v staged at a time, a multiple of 4 that divides BN); 6 BIAS (0 none, 1 per key, 2 per head);
//     7 ALIGNED (head_dim, strides and offsets of q, k and v are multiples of four); 8 Q_HALVES (q is of 16-bit floats, its
//     offset, stride and head_dim even); 9 K_HALVES; 10 V_HALVES; 11 OUT_HALVES
// Dispatch: heads ceil(queries / BM) groups
// Shared memory: BM (4 BN + 16) + max(80 (BM + BN), 4 SLICE BN VECTORS) bytes

#include "include/group.glsl"
#include "include/math.glsl"

layout(constant_id = 1) const uint BM = 32;
layout(constant_id = 2) const uint BN = 32;
layout(constant_id = 3) const uint TM = 4;
layout(constant_id = 4) const uint VECTORS = 1;
layout(constant_id = 5) const uint SLICE = 16;
layout(constant_id = 6) const uint BIAS = 0;
layout(constant_id = 7) const bool ALIGNED = false;
layout(constant_id = 8) const bool Q_HALVES = false;
layout(constant_id = 9) const bool K_HALVES = false;
layout(constant_id = 10) const bool V_HALVES = false;
layout(constant_id = 11) const bool OUT_HALVES = false;

const uint TN = 4;
// Four numbers each of a row of v, or of the result.
const uint WIDTH = BN / TN * VECTORS;
const uint PRODUCT_TILES = (BM + BN) * 5;
const uint SHARED_VECTORS = SLICE * WIDTH > PRODUCT_TILES ? SLICE * WIDTH : PRODUCT_TILES;

#define TILES SHARED_VECTORS
#include "include/four.glsl"
#include "include/tile.glsl"
#include "include/result.glsl"

const uint NO_BIAS = 0;
const uint PER_KEY = 1;
const uint WEIGHT_PITCH = BN / 4 + 1;
// What hides a key; all scores are at least this, and infinities are not relied on.
const float LOWEST = -3.402823466e38;

FOUR(q, 1, Q_HALVES)
FOUR(k, 2, K_HALVES)
FOUR(v, 3, V_HALVES)
layout(std430, binding = 4) readonly buffer Bias { float bias[]; };

layout(push_constant) uniform Push {
    uint out_offset, q_offset, k_offset, v_offset, bias_offset;
    uint heads, head_dim, queries, keys, q_stride, kv_stride, out_stride, first_group;
    float scale;
};

// The softmax's weights of BM queries and BN keys; before that, one number for each row and invocation of it.
shared vec4 weights[BM * WEIGHT_PITCH];

void main() {
    uint blocks = (queries + BM - 1) / BM;
    uint group = group_index(first_group);
    if (group >= heads * blocks) {
        return;
    }
    uint head = group / blocks;
    uint first_query = (group - head * blocks) * BM;
    uint me = gl_LocalInvocationID.x;
    uint tx = me % TX;
    uint ty = me / TX;

    vec4 sum[TM * VECTORS];
    float largest[TM];
    // Of this invocation's keys only.
    float total[TM];
    [[unroll]] for (uint i = 0; i < TM; i++) {
        largest[i] = LOWEST;
        total[i] = 0.0;
        [[unroll]] for (uint n = 0; n < VECTORS; n++) {
            sum[i * VECTORS + n] = vec4(0.0);
        }
    }

    for (uint first_key = 0; first_key < keys; first_key += BN) {
        clear_totals();
        uint staged = 0;
        for (uint first = 0; first < head_dim; first += BK) {
            barrier();
            for (uint i = me; i < BM * QUADS; i += gl_WorkGroupSize.x) {
                uint row = first_query + i / QUADS;
                uint d = first + i % QUADS * 4;
                bool inside = row < queries && d < head_dim;
                vec4 four = inside ? q4(q_offset + row * q_stride + head * head_dim + d, head_dim - d) : vec4(0.0);
                tiles_memory[left_at(i / QUADS, i % QUADS)] = four;
            }
            for (uint i = me; i < BN * QUADS; i += gl_WorkGroupSize.x) {
                uint row = first_key + i / QUADS;
                uint d = first + i % QUADS * 4;
                bool inside = row < keys && d < head_dim;
                vec4 four = inside ? k4(k_offset + row * kv_stride + head * head_dim + d, head_dim - d) : vec4(0.0);
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

        // Scores, in place of the totals, and the largest of each row.
        [[unroll]] for (uint i = 0; i < TM; i++) {
            uint row = first_query + ty + i * TY;
            float most = LOWEST;
            [[unroll]] for (uint j = 0; j < TN; j++) {
                uint key = first_key + tx + j * TX;
                float score = LOWEST;
                if (key < keys) {
                    score = scale * totals[i * TN + j];
                    if (BIAS == PER_KEY) {
                        score += bias[bias_offset + key];
                    } else if (BIAS != NO_BIAS && row < queries) {
                        score += bias[bias_offset + (head * queries + row) * keys + key];
                    }
                    // Not max, which may make a number of a NaN.
                    score = score < LOWEST ? LOWEST : score;
                }
                totals[i * TN + j] = score;
                most = max(most, score);
            }
            weights[(ty + i * TY) * WEIGHT_PITCH + tx / 4][tx % 4] = most;
        }
        barrier();
        float before[TM];
        [[unroll]] for (uint i = 0; i < TM; i++) {
            before[i] = largest[i];
            for (uint n = 0; n < TX / 4; n++) {
                vec4 four = weights[(ty + i * TY) * WEIGHT_PITCH + n];
                largest[i] = max(largest[i], max(max(four.x, four.y), max(four.z, four.w)));
            }
        }
        barrier();
        [[unroll]] for (uint i = 0; i < TM; i++) {
            float shrink = exp_of_less(before[i] - largest[i]);
            total[i] *= shrink;
            [[unroll]] for (uint n = 0; n < VECTORS; n++) {
                sum[i * VECTORS + n] *= shrink;
            }
            [[unroll]] for (uint j = 0; j < TN; j++) {
                uint column = tx + j * TX;
                float weight = first_key + column < keys ? exp_of_less(totals[i * TN + j] - largest[i]) : 0.0;
                total[i] += weight;
                weights[(ty + i * TY) * WEIGHT_PITCH + column / 4][column % 4] = weight;
            }
        }

        for (uint slice = 0; slice < BN && first_key + slice < keys; slice += SLICE) {
            // The first slice overwrites tiles that all have read before the barriers above.
            if (slice > 0) {
                barrier();
            }
            for (uint i = me; i < SLICE * WIDTH; i += gl_WorkGroupSize.x) {
                uint row = first_key + slice + i / WIDTH;
                uint d = i % WIDTH * 4;
                bool inside = row < keys && d < head_dim;
                tiles_memory[i] = inside ? v4(v_offset + row * kv_stride + head * head_dim + d, head_dim - d) : vec4(0.0);
            }
            barrier();
            [[unroll]] for (uint n = 0; n < VECTORS; n++) {
                // A slice's sum, then that of all: one sum of ten thousands of terms would lose two digits.
                vec4 added[TM];
                [[unroll]] for (uint i = 0; i < TM; i++) {
                    added[i] = vec4(0.0);
                }
                for (uint quad = 0; quad < SLICE / 4; quad++) {
                    uint at = 4 * quad * WIDTH + tx + n * TX;
                    vec4 values[4];
                    [[unroll]] for (uint key = 0; key < 4; key++) {
                        values[key] = tiles_memory[at + key * WIDTH];
                    }
                    [[unroll]] for (uint i = 0; i < TM; i++) {
                        vec4 four = weights[(ty + i * TY) * WEIGHT_PITCH + slice / 4 + quad];
                        added[i] = fma(vec4(four.x), values[0], added[i]);
                        added[i] = fma(vec4(four.y), values[1], added[i]);
                        added[i] = fma(vec4(four.z), values[2], added[i]);
                        added[i] = fma(vec4(four.w), values[3], added[i]);
                    }
                }
                [[unroll]] for (uint i = 0; i < TM; i++) {
                    sum[i * VECTORS + n] += added[i];
                }
            }
        }
    }

    barrier();
    [[unroll]] for (uint i = 0; i < TM; i++) {
        weights[(ty + i * TY) * WEIGHT_PITCH + tx / 4][tx % 4] = total[i];
    }
    barrier();
    [[unroll]] for (uint i = 0; i < TM; i++) {
        float all = 0.0;
        for (uint n = 0; n < TX / 4; n++) {
            vec4 four = weights[(ty + i * TY) * WEIGHT_PITCH + n];
            all += (four.x + four.y) + (four.z + four.w);
        }
        uint row = first_query + ty + i * TY;
        if (row >= queries) {
            continue;
        }
        [[unroll]] for (uint n = 0; n < VECTORS; n++) {
            [[unroll]] for (uint c = 0; c < 4; c += 2) {
                uint d = 4 * (tx + n * TX) + c;
                if (d < head_dim) {
                    vec4 four = sum[i * VECTORS + n];
                    uint at = out_offset + row * out_stride + head * head_dim + d;
                    write_pair(at, vec2(four[c], four[c + 1]) / all, d + 1 < head_dim);
                }
            }
        }
    }
}
