// The inner product of two staged tiles by a device's matrix units: what tile.glsl does, for operands of 16-bit floats.
//
// A workgroup makes BM x BN results, a subgroup TM x TN of them, in matrices of UNIT_M x UNIT_N whose sums are of 32 bits.
// Both tiles lie in shared memory as rows of BK terms, eight to a vector, and one vector of padding, which keeps eight
// neighbouring rows in different banks. A tile's next terms are read into registers while the units work on those before.
// How a matrix lies in the registers of a subgroup is the driver's secret: results go through shared memory, one matrix at a
// time, to who knows their row and column.
//
// Who includes this defines the constants BM, BN, TM and TN, and
//     `uvec4 left8(uint row, uint term)`, `uvec4 right8(uint row, uint term)`: eight terms of a row of a tile, packed;
//     `void finish(uint row, uint column, vec2 value)`: takes a result of the tile and its right neighbour.

layout(constant_id = 20) const uint UNIT_M = 16;
layout(constant_id = 21) const uint UNIT_N = 16;
layout(constant_id = 22) const uint UNIT_K = 16;
layout(constant_id = 23) const uint BK = 32;

const uint EIGHTS = BK / 8;
const uint PITCH = EIGHTS + 1;
// Subgroups side by side, and all of them.
const uint ACROSS = BN / TN;
const uint SUBGROUPS = BM / TM * ACROSS;
const uint DOWN_UNITS = TM / UNIT_M;
const uint ACROSS_UNITS = TN / UNIT_N;
const uint UNIT = UNIT_M * UNIT_N;
const uint LEFT_EACH = (BM * EIGHTS + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;
const uint RIGHT_EACH = (BN * EIGHTS + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;

// The left tile, then the right one.
shared uvec4 tiles_memory[(BM + BN) * PITCH];
shared float unit_results[SUBGROUPS * UNIT];

uvec4 left8(uint row, uint term);
uvec4 right8(uint row, uint term);
void finish(uint row, uint column, vec2 value);

uvec4 next_left[LEFT_EACH];
uvec4 next_right[RIGHT_EACH];

// Reads the terms of both tiles from `first` on into registers.
void fetch_tiles(uint first) {
    [[unroll]] for (uint j = 0; j < LEFT_EACH; j++) {
        uint i = gl_LocalInvocationID.x + j * gl_WorkGroupSize.x;
        if (i < BM * EIGHTS) {
            next_left[j] = left8(i / EIGHTS, first + i % EIGHTS * 8);
        }
    }
    [[unroll]] for (uint j = 0; j < RIGHT_EACH; j++) {
        uint i = gl_LocalInvocationID.x + j * gl_WorkGroupSize.x;
        if (i < BN * EIGHTS) {
            next_right[j] = right8(i / EIGHTS, first + i % EIGHTS * 8);
        }
    }
}

// Puts what was fetched where all see it.
void stage_tiles() {
    barrier();
    [[unroll]] for (uint j = 0; j < LEFT_EACH; j++) {
        uint i = gl_LocalInvocationID.x + j * gl_WorkGroupSize.x;
        if (i < BM * EIGHTS) {
            tiles_memory[i / EIGHTS * PITCH + i % EIGHTS] = next_left[j];
        }
    }
    [[unroll]] for (uint j = 0; j < RIGHT_EACH; j++) {
        uint i = gl_LocalInvocationID.x + j * gl_WorkGroupSize.x;
        if (i < BN * EIGHTS) {
            tiles_memory[(BM + i / EIGHTS) * PITCH + i % EIGHTS] = next_right[j];
        }
    }
    barrier();
}

// Sums up the products of `steps` tiles of terms and hands out the results. All invocations of the workgroup call it.
void multiply_units(uint steps) {
    uint top = gl_SubgroupID / ACROSS * TM;
    uint left = gl_SubgroupID % ACROSS * TN;
    coopmat<float, gl_ScopeSubgroup, UNIT_M, UNIT_N, gl_MatrixUseAccumulator> sums[DOWN_UNITS * ACROSS_UNITS];
    [[unroll]] for (uint i = 0; i < DOWN_UNITS * ACROSS_UNITS; i++) {
        sums[i] = coopmat<float, gl_ScopeSubgroup, UNIT_M, UNIT_N, gl_MatrixUseAccumulator>(0.0);
    }
    fetch_tiles(0);
    for (uint step = 0; step < steps; step++) {
        stage_tiles();
        if (step + 1 < steps) {
            fetch_tiles((step + 1) * BK);
        }
        [[unroll]] for (uint term = 0; term < BK; term += UNIT_K) {
            coopmat<float16_t, gl_ScopeSubgroup, UNIT_M, UNIT_K, gl_MatrixUseA> rows[DOWN_UNITS];
            [[unroll]] for (uint i = 0; i < DOWN_UNITS; i++) {
                uint at = (top + i * UNIT_M) * PITCH + term / 8;
                coopMatLoad(rows[i], tiles_memory, at, PITCH, gl_CooperativeMatrixLayoutRowMajor);
            }
            [[unroll]] for (uint j = 0; j < ACROSS_UNITS; j++) {
                coopmat<float16_t, gl_ScopeSubgroup, UNIT_K, UNIT_N, gl_MatrixUseB> columns;
                uint at = (BM + left + j * UNIT_N) * PITCH + term / 8;
                coopMatLoad(columns, tiles_memory, at, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
                [[unroll]] for (uint i = 0; i < DOWN_UNITS; i++) {
                    uint of = i * ACROSS_UNITS + j;
                    sums[of] = coopMatMulAdd(rows[i], columns, sums[of]);
                }
            }
        }
    }
    uint own = gl_SubgroupID * UNIT;
    [[unroll]] for (uint i = 0; i < DOWN_UNITS; i++) {
        [[unroll]] for (uint j = 0; j < ACROSS_UNITS; j++) {
            coopMatStore(sums[i * ACROSS_UNITS + j], unit_results, own, UNIT_N, gl_CooperativeMatrixLayoutRowMajor);
            subgroupBarrier();
            for (uint e = 2 * gl_SubgroupInvocationID; e < UNIT; e += 2 * gl_SubgroupSize) {
                vec2 value = vec2(unit_results[own + e], unit_results[own + e + 1]);
                finish(top + i * UNIT_M + e / UNIT_N, left + j * UNIT_N + e % UNIT_N, value);
            }
            subgroupBarrier();
        }
    }
}
