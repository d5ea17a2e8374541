// Sums over a row that LANES neighbouring invocations of a workgroup share: a workgroup holds local_size_x / LANES rows.

layout(constant_id = 1) const uint LANES = 32;

shared float lane_sums[gl_WorkGroupSize.x];

// The sum of `value` over the lanes of this row, the same for all of them. All invocations of the workgroup call it.
float row_sum(float value) {
    uint me = gl_LocalInvocationID.x;
    uint lane = me % LANES;
    lane_sums[me] = value;
    barrier();
    for (uint half_size = LANES / 2; half_size > 0; half_size /= 2) {
        if (lane < half_size) {
            lane_sums[me] += lane_sums[me + half_size];
        }
        barrier();
    }
    float sum = lane_sums[me - lane];
    barrier();
    return sum;
}
