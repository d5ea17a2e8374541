// The inner product of two staged tiles, in registers: what linear, conv3d and the scores of attention have in common.
//
// A workgroup makes BM x BN results, an invocation TM x TN of them: rows ty + i TY and places tx + j TX of the right tile, so
// neighbours read neighbouring places. Both tiles lie in shared memory as rows of BK = 16 terms, four
// to a vector, and one vector of padding, which keeps eight neighbouring rows in different banks.
//
// A run of sums is cut every FLUSH tiles of terms and added to the totals: the rounding of a sum of n terms grows with the
// square root of n, and of sums of sums with less. Who includes this defines the constants BM, BN, TM and TN, and TILES as
// a number of vectors, at least (BM + BN) PITCH, if it uses the tiles' memory for other things in between.

const uint BK = 16;
const uint QUADS = BK / 4;
const uint PITCH = QUADS + 1;
const uint FLUSH = 8;
const uint TX = BN / TN;
const uint TY = BM / TM;

#ifndef TILES
#define TILES ((BM + BN) * PITCH)
#endif

// The left tile, then the right one.
shared vec4 tiles_memory[TILES];

uint left_at(uint row, uint quad) {
    return row * PITCH + quad;
}

uint right_at(uint row, uint quad) {
    return (BM + row) * PITCH + quad;
}

// The column that stands at a place of the right tile where an invocation's are to be pairs of neighbours, which it writes
// together: 2 tx and 2 tx + 1 of every 2 TX. TN is even then.
uint paired_column(uint place) {
    uint j = place / TX;
    return j / 2 * 2 * TX + place % TX * 2 + j % 2;
}

float sums[TM * TN];
float totals[TM * TN];

void clear_totals() {
    [[unroll]] for (uint i = 0; i < TM * TN; i++) {
        sums[i] = 0.0;
        totals[i] = 0.0;
    }
}

void flush_sums() {
    [[unroll]] for (uint i = 0; i < TM * TN; i++) {
        totals[i] += sums[i];
        sums[i] = 0.0;
    }
}

// Adds the products of the two tiles; stands between two barriers.
void multiply_tiles(uint tx, uint ty) {
    // Not unrolled: enough is going on in one turn, and drivers take long over such code.
    for (uint quad = 0; quad < QUADS; quad++) {
        vec4 right[TN];
        [[unroll]] for (uint j = 0; j < TN; j++) {
            right[j] = tiles_memory[right_at(tx + j * TX, quad)];
        }
        [[unroll]] for (uint i = 0; i < TM; i++) {
            vec4 left = tiles_memory[left_at(ty + i * TY, quad)];
            [[unroll]] for (uint j = 0; j < TN; j++) {
                float sum = fma(left.x, right[j].x, sums[i * TN + j]);
                sum = fma(left.y, right[j].y, sum);
                sum = fma(left.z, right[j].z, sum);
                sums[i * TN + j] = fma(left.w, right[j].w, sum);
            }
        }
    }
}
