#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_shader_subgroup_vote : require
#extension GL_KHR_shader_subgroup_shuffle : require

// What attention.comp does, by matrix units, of q, k and v of 16-bit floats and heads of at most HEAD.
//
// A workgroup takes BM queries of a head and walks over the keys, BN at a time; a subgroup has UNIT_M of the queries, which stay
// in registers, as does what it has of the result. Scores are of 32 bits and go through shared memory, as only there their rows
// are known; an invocation has one row, or neighbours share one. The softmax's weights go back as 16-bit floats. A matrix of
// results is shrunk only where a row's largest score has grown.
//
// Bindings, push constants: those of attention.comp
// Specialization: 0 local_size_x = BM / UNIT_M invocations of a subgroup; 1 BM; 2 BN (a multiple of 32); 4 HEAD (head_dim, up
//     to a multiple of 16); 6 BIAS; 11 OUT_HALVES: those of attention.comp; 20 UNIT_M; 21 UNIT_N; 22 UNIT_K
// head_dim, the strides and the offsets of q, k and v are multiples of eight
// Dispatch: heads ceil(queries / BM) groups
// Shared memory: 4 BN (HEAD + 8) + 4 BM (BN + 8) bytes

#include "include/matrix.glsl"
#include "include/group.glsl"

layout(constant_id = 1) const uint BM = 128;
layout(constant_id = 2) const uint BN = 32;
layout(constant_id = 4) const uint HEAD = 128;
layout(constant_id = 6) const uint BIAS = 0;
layout(constant_id = 11) const bool OUT_HALVES = false;

#include "include/result.glsl"

const uint NO_BIAS = 0;
const uint PER_KEY = 1;
// What hides a key; all scores are at least this, and infinities are not relied on.
const float LOWEST = -3.402823466e38;

const uint EIGHTS = HEAD / 8;
// Rows of keys and values, of scores, and of weights, in vectors; padding keeps neighbouring rows in different banks.
const uint PITCH = EIGHTS + 1;
const uint SCORE_PITCH = BN / 4 + 2;
const uint WEIGHT_PITCH = BN / 8 + 1;
const uint STRIP = UNIT_M * SCORE_PITCH;
const uint SUBGROUPS = BM / UNIT_M;
const uint TERMS = HEAD / UNIT_K;
const uint COLUMNS = HEAD / UNIT_N;
const uint KEYS = BN / UNIT_N;
const uint STAGED = 2 * BN;
// Neighbouring invocations share a row, and have every so many eights of it.
const uint SHARERS = gl_WorkGroupSize.x / BM;
const uint EACH = BN / 8 / SHARERS;
// Vectors of keys, and of values, that an invocation fetches at a time.
const uint FETCHED = (BN * EIGHTS + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;

layout(std430, binding = 1) readonly buffer Q { uvec4 q[]; };
layout(std430, binding = 2) readonly buffer K { uvec4 k[]; };
layout(std430, binding = 3) readonly buffer V { uvec4 v[]; };
layout(std430, binding = 4) readonly buffer Bias { float bias[]; };

layout(push_constant) uniform Push {
    uint out_offset, q_offset, k_offset, v_offset, bias_offset;
    uint heads, head_dim, queries, keys, q_stride, kv_stride, out_stride, first_group;
    float scale;
};

// Keys, then values; before that, queries.
shared uvec4 staged[STAGED * PITCH];
// Of each subgroup: scores, or weights and what shrinks the result, or a part of the result.
shared uvec4 strips[SUBGROUPS * STRIP];

uvec4 next_keys[FETCHED];
uvec4 next_values[FETCHED];

// Reads keys and values from `first` on into registers.
void fetch(uint first, uint head) {
    [[unroll]] for (uint j = 0; j < FETCHED; j++) {
        uint i = gl_LocalInvocationID.x + j * gl_WorkGroupSize.x;
        uint of = first + i / EIGHTS;
        uint d = i % EIGHTS * 8;
        bool inside = i < BN * EIGHTS && of < keys && d < head_dim;
        uint from = of * kv_stride + head * head_dim + d;
        next_keys[j] = inside ? k[(k_offset + from) >> 3] : uvec4(0);
        next_values[j] = inside ? v[(v_offset + from) >> 3] : uvec4(0);
    }
}

// e^x of numbers up to 0, as exact as a weight of 16 bits needs; NaN of NaN.
float weight_of(float x) {
    return x < -87.0 ? 0.0 : exp2(x * 1.44269504);
}

void main() {
    uint blocks = (queries + BM - 1) / BM;
    uint group = group_index(first_group);
    if (group >= heads * blocks) {
        return;
    }
    uint head = group / blocks;
    uint first_query = (group - head * blocks) * BM;
    uint me = gl_LocalInvocationID.x;
    uint own = gl_SubgroupID * STRIP;
    uint factors = own + UNIT_M * WEIGHT_PITCH;
    uint row = gl_SubgroupInvocationID / SHARERS;
    uint part = gl_SubgroupInvocationID % SHARERS;
    uint query = first_query + gl_SubgroupID * UNIT_M + row;

    MATRIX_LEFT own_queries[TERMS];
    for (uint first = 0; first < BM; first += STAGED) {
        barrier();
        for (uint i = me; i < STAGED * EIGHTS; i += gl_WorkGroupSize.x) {
            uint of = first_query + first + i / EIGHTS;
            uint d = i % EIGHTS * 8;
            bool inside = of < queries && d < head_dim;
            uvec4 eight = inside ? q[(q_offset + of * q_stride + head * head_dim + d) >> 3] : uvec4(0);
            staged[i / EIGHTS * PITCH + i % EIGHTS] = eight;
        }
        barrier();
        uint at = gl_SubgroupID * UNIT_M;
        if (at >= first && at < first + STAGED) {
            [[unroll]] for (uint term = 0; term < TERMS; term++) {
                uint from = (at - first) * PITCH + term * UNIT_K / 8;
                coopMatLoad(own_queries[term], staged, from, PITCH, gl_CooperativeMatrixLayoutRowMajor);
            }
        }
    }

    MATRIX_SUMS sums[COLUMNS];
    [[unroll]] for (uint i = 0; i < COLUMNS; i++) {
        sums[i] = MATRIX_SUMS(0.0);
    }
    float largest = LOWEST;
    float total = 0.0;

    fetch(0, head);
    for (uint first_key = 0; first_key < keys; first_key += BN) {
        barrier();
        [[unroll]] for (uint j = 0; j < FETCHED; j++) {
            uint i = me + j * gl_WorkGroupSize.x;
            if (i < BN * EIGHTS) {
                staged[i / EIGHTS * PITCH + i % EIGHTS] = next_keys[j];
                staged[(BN + i / EIGHTS) * PITCH + i % EIGHTS] = next_values[j];
            }
        }
        barrier();
        if (first_key + BN < keys) {
            fetch(first_key + BN, head);
        }

        MATRIX_SUMS products[KEYS];
        [[unroll]] for (uint j = 0; j < KEYS; j++) {
            products[j] = MATRIX_SUMS(0.0);
        }
        [[unroll]] for (uint term = 0; term < TERMS; term++) {
            [[unroll]] for (uint j = 0; j < KEYS; j++) {
                MATRIX_RIGHT columns;
                uint from = j * UNIT_N * PITCH + term * UNIT_K / 8;
                coopMatLoad(columns, staged, from, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
                products[j] = coopMatMulAdd(own_queries[term], columns, products[j]);
            }
        }
        [[unroll]] for (uint j = 0; j < KEYS; j++) {
            coopMatStore(products[j], strips, own + j * UNIT_N / 4, SCORE_PITCH, gl_CooperativeMatrixLayoutRowMajor);
        }
        subgroupBarrier();

        vec4 scores[2 * EACH];
        float most = largest;
        [[unroll]] for (uint i = 0; i < EACH; i++) {
            uint eight = part + i * SHARERS;
            [[unroll]] for (uint half_of = 0; half_of < 2; half_of++) {
                vec4 four = scale * uintBitsToFloat(strips[own + row * SCORE_PITCH + 2 * eight + half_of]);
                uint key = first_key + 8 * eight + 4 * half_of;
                [[unroll]] for (uint c = 0; c < 4; c++) {
                    if (key + c >= keys) {
                        four[c] = LOWEST;
                        continue;
                    }
                    if (BIAS == PER_KEY) {
                        four[c] += bias[bias_offset + key + c];
                    } else if (BIAS != NO_BIAS && query < queries) {
                        four[c] += bias[bias_offset + (head * queries + query) * keys + key + c];
                    }
                    // Not max, which may make a number of a NaN.
                    four[c] = four[c] < LOWEST ? LOWEST : four[c];
                    most = max(most, four[c]);
                }
                scores[2 * i + half_of] = four;
            }
        }
        for (uint apart = 1; apart < SHARERS; apart *= 2) {
            most = max(most, subgroupShuffleXor(most, apart));
        }
        float shrink = weight_of(largest - most);
        largest = most;
        total *= shrink;
        // All have read the scores.
        subgroupBarrier();
        [[unroll]] for (uint i = 0; i < EACH; i++) {
            uint eight = part + i * SHARERS;
            uvec4 packed;
            [[unroll]] for (uint half_of = 0; half_of < 2; half_of++) {
                uint key = first_key + 8 * eight + 4 * half_of;
                vec4 weights;
                [[unroll]] for (uint c = 0; c < 4; c++) {
                    weights[c] = key + c < keys ? weight_of(scores[2 * i + half_of][c] - largest) : 0.0;
                    total += weights[c];
                }
                packed[2 * half_of] = packHalf2x16(weights.xy);
                packed[2 * half_of + 1] = packHalf2x16(weights.zw);
            }
            strips[own + row * WEIGHT_PITCH + eight] = packed;
        }
        bool shrinks = subgroupAny(shrink != 1.0);
        if (shrinks) {
            for (uint i = part; i < UNIT_N / 4; i += SHARERS) {
                strips[factors + row * UNIT_N / 4 + i] = uvec4(floatBitsToUint(shrink));
            }
        }
        subgroupBarrier();
        if (shrinks) {
            MATRIX_SUMS by;
            coopMatLoad(by, strips, factors, UNIT_N / 4, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint i = 0; i < COLUMNS; i++) {
                sums[i] *= by;
            }
        }
        [[unroll]] for (uint term = 0; term < BN / UNIT_K; term++) {
            MATRIX_LEFT rows;
            coopMatLoad(rows, strips, own + term * UNIT_K / 8, WEIGHT_PITCH, gl_CooperativeMatrixLayoutRowMajor);
            [[unroll]] for (uint i = 0; i < COLUMNS; i++) {
                MATRIX_RIGHT columns;
                uint from = (BN + term * UNIT_K) * PITCH + i * UNIT_N / 8;
                coopMatLoad(columns, staged, from, PITCH, gl_CooperativeMatrixLayoutRowMajor);
                sums[i] = coopMatMulAdd(rows, columns, sums[i]);
            }
        }
    }

    for (uint apart = 1; apart < SHARERS; apart *= 2) {
        total += subgroupShuffleXor(total, apart);
    }
    // As many columns of the result as there are keys at a time. Not unrolled; see include/units.glsl.
    for (uint first = 0; first < COLUMNS; first += KEYS) {
        subgroupBarrier();
        [[unroll]] for (uint i = 0; i < COLUMNS; i++) {
            if (i >= first && i < first + KEYS) {
                uint at = own + (i - first) * UNIT_N / 4;
                coopMatStore(sums[i], strips, at, SCORE_PITCH, gl_CooperativeMatrixLayoutRowMajor);
            }
        }
        subgroupBarrier();
        for (uint i = part; i < BN / 4; i += SHARERS) {
            uint d = first * UNIT_N + 4 * i;
            if (query < queries && d < head_dim) {
                vec4 four = uintBitsToFloat(strips[own + row * SCORE_PITCH + i]) / total;
                uint at = out_offset + query * out_stride + head * head_dim + d;
                write_pair(at, four.xy, true);
                write_pair(at + 2, four.zw, true);
            }
        }
    }
}
