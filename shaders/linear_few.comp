#version 450
#extension GL_GOOGLE_include_directive : require
#extension GL_EXT_control_flow_attributes : require

// linear and linear_add of at most four rows, where reading the weight is all the work: a workgroup makes four columns,
// its invocations share out the terms.
//
// Bindings, push constants: those of linear.comp
// Specialization: 0 local_size_x (a power of two); 1 ROWS (rows at most, 1 to 4); 5 to 10: those of linear.comp
// Dispatch: ceil(n / 4) groups
// Shared memory: 16 ROWS local_size_x bytes

#include "include/group.glsl"
#include "include/math.glsl"

layout(constant_id = 1) const uint ROWS = 4;
layout(constant_id = 5) const uint WEIGHT = 0;
layout(constant_id = 6) const bool ALIGNED = false;
layout(constant_id = 7) const bool BIAS = false;
layout(constant_id = 8) const uint ACTIVATION = 0;
layout(constant_id = 9) const bool RESIDUAL = false;
layout(constant_id = 10) const bool GATE = false;

#define WEIGHT_BINDING 2
#define WEIGHT_ALIGNED ALIGNED
#include "include/four.glsl"
#include "include/weight.glsl"

layout(std430, binding = 0) buffer Out { float result[]; };
FOUR(x, 1, false)
layout(std430, binding = 3) readonly buffer Bias { float bias[]; };
layout(std430, binding = 4) readonly buffer Gate { float gate[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset, w_offset, bias_offset, gate_offset;
    uint rows, k, n, stride, first_group;
};

const uint COLUMNS = 4;
const uint RESULTS = ROWS * COLUMNS;

shared float partial[RESULTS * gl_WorkGroupSize.x];

void main() {
    uint group = group_index(first_group);
    if (group >= (n + COLUMNS - 1) / COLUMNS) {
        return;
    }
    uint me = gl_LocalInvocationID.x;
    float sums[RESULTS];
    [[unroll]] for (uint i = 0; i < RESULTS; i++) {
        sums[i] = 0.0;
    }
    for (uint term = 4 * me; term < k; term += 4 * gl_WorkGroupSize.x) {
        vec4 left[ROWS];
        [[unroll]] for (uint r = 0; r < ROWS; r++) {
            left[r] = r < rows ? x4(x_offset + r * k + term, k - term) : vec4(0.0);
        }
        [[unroll]] for (uint c = 0; c < COLUMNS; c++) {
            uint column = group * COLUMNS + c;
            vec4 right = column < n ? weight4(w_offset + column * k + term, k - term) : vec4(0.0);
            [[unroll]] for (uint r = 0; r < ROWS; r++) {
                float sum = fma(left[r].x, right.x, sums[r * COLUMNS + c]);
                sum = fma(left[r].y, right.y, sum);
                sum = fma(left[r].z, right.z, sum);
                sums[r * COLUMNS + c] = fma(left[r].w, right.w, sum);
            }
        }
    }
    [[unroll]] for (uint i = 0; i < RESULTS; i++) {
        partial[i * gl_WorkGroupSize.x + me] = sums[i];
    }
    barrier();
    for (uint half_size = gl_WorkGroupSize.x / 2; half_size > 0; half_size /= 2) {
        if (me < half_size) {
            [[unroll]] for (uint i = 0; i < RESULTS; i++) {
                partial[i * gl_WorkGroupSize.x + me] += partial[i * gl_WorkGroupSize.x + me + half_size];
            }
        }
        barrier();
    }
    for (uint i = me; i < RESULTS; i += gl_WorkGroupSize.x) {
        uint row = i / COLUMNS;
        uint column = group * COLUMNS + i % COLUMNS;
        if (row < rows && column < n) {
            uint at = out_offset + row * stride + column;
            float value = partial[i * gl_WorkGroupSize.x];
            if (BIAS) {
                value += bias[bias_offset + column];
            }
            if (RESIDUAL) {
                result[at] += (GATE ? gate[gate_offset + column] : 1.0) * value;
            } else {
                result[at] = activate(value, ACTIVATION);
            }
        }
    }
}
