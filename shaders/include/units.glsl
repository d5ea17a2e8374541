// The inner product of two staged tiles by a device's matrix units: what tile.glsl does, for operands of 16-bit floats.
//
// A workgroup makes BM x BN results, a subgroup TM x TN of them, in matrices of UNIT_M x UNIT_N whose sums are of 32 bits.
// Both tiles lie in shared memory as rows of BK terms, eight to a vector, and one vector of padding, which keeps eight
// neighbouring rows in different banks. A tile's next terms are read into registers while the units work on those before.
// How a matrix lies in the registers of a subgroup is the driver's secret: results go through shared memory, a row of
// matrices at a time, to who knows their row and column.
//
// Who includes this includes matrix.glsl before, and defines the constants BM, BN, TM and TN, and
//     `void begin(uint step)`: what comes is about the tiles of this step;
//     `uvec4 left8(uint row, uint term)`, `uvec4 right8(uint row, uint term)`: eight terms of a row of a tile, packed;
//     `void finish(uint row, uint column, vec2 value)`: takes a result of the tile and its right neighbour.

layout(constant_id = 23) const uint BK = 32;

const uint EIGHTS = BK / 8;
const uint PITCH = EIGHTS + 1;
// Subgroups side by side, and all of them.
const uint ACROSS = BN / TN;
const uint SUBGROUPS = BM / TM * ACROSS;
const uint DOWN_UNITS = TM / UNIT_M;
const uint ACROSS_UNITS = TN / UNIT_N;
const uint LEFT_EACH = (BM * EIGHTS + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;
const uint RIGHT_EACH = (BN * EIGHTS + gl_WorkGroupSize.x - 1) / gl_WorkGroupSize.x;

const uint TILES = (BM + BN) * PITCH;
// A row of a subgroup's matrices, with padding.
const uint STRIP_PITCH = TN / 4 + 1;
const uint STRIP = UNIT_M * STRIP_PITCH;
const uint STRIPS = SUBGROUPS * STRIP;
// The left tile, then the right one; in the end a row of matrices of each subgroup.
shared uvec4 tiles_memory[TILES > STRIPS ? TILES : STRIPS];

void begin(uint step);
uvec4 left8(uint row, uint term);
uvec4 right8(uint row, uint term);
void finish(uint row, uint column, vec2 value);

uvec4 next_left[LEFT_EACH];
uvec4 next_right[RIGHT_EACH];

// Reads the terms of both tiles of a step into registers.
void fetch_tiles(uint step) {
    begin(step);
    [[unroll]] for (uint j = 0; j < LEFT_EACH; j++) {
        uint i = gl_LocalInvocationID.x + j * gl_WorkGroupSize.x;
        if (i < BM * EIGHTS) {
            next_left[j] = left8(i / EIGHTS, i % EIGHTS * 8);
        }
    }
    [[unroll]] for (uint j = 0; j < RIGHT_EACH; j++) {
        uint i = gl_LocalInvocationID.x + j * gl_WorkGroupSize.x;
        if (i < BN * EIGHTS) {
            next_right[j] = right8(i / EIGHTS, i % EIGHTS * 8);
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

// Sums up the products of the tiles of `steps` steps and hands out the results. All invocations of the workgroup call it.
void multiply_units(uint steps) {
    uint top = gl_SubgroupID / ACROSS * TM;
    uint left = gl_SubgroupID % ACROSS * TN;
    MATRIX_SUMS sums[DOWN_UNITS * ACROSS_UNITS];
    [[unroll]] for (uint i = 0; i < DOWN_UNITS * ACROSS_UNITS; i++) {
        sums[i] = MATRIX_SUMS(0.0);
    }
    if (steps > 0) {
        fetch_tiles(0);
    }
    for (uint step = 0; step < steps; step++) {
        stage_tiles();
        if (step + 1 < steps) {
            fetch_tiles(step + 1);
        }
        [[unroll]] for (uint term = 0; term < BK; term += UNIT_K) {
            MATRIX_LEFT rows[DOWN_UNITS];
            [[unroll]] for (uint i = 0; i < DOWN_UNITS; i++) {
                uint at = (top + i * UNIT_M) * PITCH + term / 8;
                coopMatLoad(rows[i], tiles_memory, at, PITCH, gl_CooperativeMatrixLayoutRowMajor);
            }
            [[unroll]] for (uint j = 0; j < ACROSS_UNITS; j++) {
                MATRIX_RIGHT columns;
                uint at = (BM + left + j * UNIT_N) * PITCH + term / 8;
                coopMatLoad(columns, tiles_memory, at, PITCH, gl_CooperativeMatrixLayoutColumnMajor);
                [[unroll]] for (uint i = 0; i < DOWN_UNITS; i++) {
                    uint of = i * ACROSS_UNITS + j;
                    sums[of] = coopMatMulAdd(rows[i], columns, sums[of]);
                }
            }
        }
    }
    // The tiles' memory is free now: every subgroup puts one row of its matrices there at a time.
    uint own = gl_SubgroupID * STRIP;
    barrier();
    // Not unrolled, as what is done with a result is long; but matrices stay in registers only where their numbers are constants.
    for (uint i = 0; i < DOWN_UNITS; i++) {
        [[unroll]] for (uint row = 0; row < DOWN_UNITS; row++) {
            if (row == i) {
                [[unroll]] for (uint j = 0; j < ACROSS_UNITS; j++) {
                    uint of = row * ACROSS_UNITS + j;
                    uint at = own + j * UNIT_N / 4;
                    coopMatStore(sums[of], tiles_memory, at, STRIP_PITCH, gl_CooperativeMatrixLayoutRowMajor);
                }
            }
        }
        barrier();
        for (uint e = gl_SubgroupInvocationID; e < UNIT_M * TN / 4; e += gl_SubgroupSize) {
            vec4 four = uintBitsToFloat(tiles_memory[own + e / (TN / 4) * STRIP_PITCH + e % (TN / 4)]);
            uint row = top + i * UNIT_M + e / (TN / 4);
            uint column = left + e % (TN / 4) * 4;
            finish(row, column, four.xy);
            finish(row, column + 2, four.zw);
        }
        barrier();
    }
}
