#version 450
#extension GL_GOOGLE_include_directive : require

// layer_norm, rms_norm and channel_norm, with what follows them in the models: modulate, or an activation.
//
// Bindings: 0 out; 1 x; 2 weight (or scale); 3 bias (or shift). out may be x.
// Push constants: uint out_offset, x_offset, weight_offset, bias_offset, rows, width, first_group; float eps
//     eps is not used by channel_norm
// Specialization: 0 local_size_x (a multiple of LANES); 1 LANES (invocations of a row, a power of two);
//     2 KIND (0 layer_norm, 1 rms_norm, 2 channel_norm);
//     3 AFFINE (0 nothing, 1 x weight, 2 x weight + bias, 3 x (1 + weight) + bias); 4 ACTIVATION
// Dispatch: ceil(rows / (local_size_x / LANES)) groups
// Shared memory: 4 local_size_x bytes

#include "include/group.glsl"
#include "include/math.glsl"
#include "include/row.glsl"

layout(constant_id = 2) const uint KIND = 0;
layout(constant_id = 3) const uint AFFINE = 0;
layout(constant_id = 4) const uint ACTIVATION = 0;

const uint LAYER_NORM = 0;
const uint RMS_NORM = 1;

layout(std430, binding = 0) writeonly buffer Out { float result[]; };
layout(std430, binding = 1) readonly buffer X { float x[]; };
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
            sum += x[from + i];
        }
        // May be off by its rounding. Distances to it are all but exact, and their mean is what it is off by: so the
        // result is good to the last digits of the distances however far from zero the row is.
        middle = row_sum(sum) / float(width);
    }
    float distances = 0.0;
    float squares = 0.0;
    for (uint i = lane; i < end; i += LANES) {
        float distance_ = x[from + i] - middle;
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
    for (uint i = lane; i < end; i += LANES) {
        float value = (x[from + i] - middle - off) * factor;
        if (AFFINE == 1) {
            value *= weight[weight_offset + i];
        } else if (AFFINE == 2) {
            value = value * weight[weight_offset + i] + bias[bias_offset + i];
        } else if (AFFINE == 3) {
            value = value * (1.0 + weight[weight_offset + i]) + bias[bias_offset + i];
        }
        result[to + i] = activate(value, ACTIVATION);
    }
}
