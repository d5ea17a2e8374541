#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

// layer_norm, rms_norm and channel_norm, with the activation that may follow.
//
// Bindings: 0 out; 1 x; 2 weight; 3 bias. out may be x.
// Push constants: uint out_offset, x_offset, weight_offset, bias_offset, rows, width, first_group; float eps
//     eps is not used by channel_norm
// Specialization: 0 local_size_x (a multiple of LANES); 1 LANES (invocations of a row, a power of two);
//     2 KIND (0 layer_norm, 1 rms_norm, 2 channel_norm);
//     3 AFFINE (0 nothing, 1 x weight, 2 x weight + bias); 4 ACTIVATION; 5 X_HALVES (x is of 16-bit floats, width and x_offset
//     even); 6 OUT_HALVES
// Dispatch: ceil(rows / (local_size_x / LANES)) groups
// Shared memory: 4 local_size_x bytes

#include "include/group.glsl"
#include "include/math.glsl"
#include "include/row.glsl"

layout(constant_id = 2) const uint KIND = 0;
layout(constant_id = 3) const uint AFFINE = 0;
layout(constant_id = 4) const uint ACTIVATION = 0;
layout(constant_id = 5) const bool X_HALVES = false;
layout(constant_id = 6) const bool OUT_HALVES = false;

const bool ALIGNED = false;
#include "include/four.glsl"
#include "include/result.glsl"

const uint LAYER_NORM = 0;
const uint RMS_NORM = 1;

FOUR(x, 1, X_HALVES)
layout(std430, binding = 2) readonly buffer Weight { float weight[]; };
layout(std430, binding = 3) readonly buffer Bias { float bias[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset, weight_offset, bias_offset;
    uint rows, width, first_group;
    float eps;
};

void main() {
    uint lane = gl_LocalInvocationID.x % LANES;
    uint row = group_index(first_group) * (gl_WorkGroupSize.x / LANES) + gl_LocalInvocationID.x / LANES;
    // Invocations without a row take part in the barriers.
    uint end = row < rows ? width : 0;
    uint from = x_offset + row * width;

    float middle = 0.0;
    if (KIND == LAYER_NORM) {
        float sum = 0.0;
        for (uint i = lane; i < end; i += LANES) {
            sum += x_at(from + i);
        }
        // May be off by its rounding. Distances to it are all but exact, and their mean is what it is off by: so the
        // result is good to the last digits of the distances however far from zero the row is.
        middle = row_sum(sum) / float(width);
    }
    float distances = 0.0;
    float squares = 0.0;
    for (uint i = lane; i < end; i += LANES) {
        float distance_ = x_at(from + i) - middle;
        distances += distance_;
        squares = fma(distance_, distance_, squares);
    }
    squares = row_sum(squares);
    float factor;
    float off = 0.0;
    if (KIND == LAYER_NORM) {
        off = row_sum(distances) / float(width);
        float variance = squares / float(width) - off * off;
        factor = 1.0 / sqrt((variance < 0.0 ? 0.0 : variance) + eps);
    } else if (KIND == RMS_NORM) {
        factor = 1.0 / sqrt(squares / float(width) + eps);
    } else {
        float length_ = sqrt(squares);
        // Not max, which may make a number of a NaN.
        factor = sqrt(float(width)) / (length_ < 1e-12 ? 1e-12 : length_);
    }

    uint to = out_offset + row * width;
    for (uint first = 2 * lane; first < end; first += 2 * LANES) {
        vec2 pair;
        [[unroll]] for (uint j = 0; j < 2; j++) {
            uint i = min(first + j, end - 1);
            float value = (x_at(from + i) - middle - off) * factor;
            if (AFFINE == 1) {
                value *= weight[weight_offset + i];
            } else if (AFFINE == 2) {
                value = value * weight[weight_offset + i] + bias[bias_offset + i];
            }
            pair[j] = activate(value, ACTIVATION);
        }
        write_pair(to + first, pair, first + 1 < end);
    }
}
