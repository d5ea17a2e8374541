#version 450
#extension GL_GOOGLE_include_directive : require

// Transposes a matrix: channels_last is [c, pixels] to [pixels, c], channels_first the reverse. Tiles of 32 x 32 go through
// shared memory, so that reads and writes both run along rows. Words of 32 bits, whatever they hold.
//
// Bindings: 0 out [columns, rows]; 1 x [rows, columns]
// Push constants: uint out_offset, x_offset, rows, columns, first_group
// Specialization: 0 local_size_x (a multiple of 32)
// Dispatch: ceil(rows / 32) ceil(columns / 32) groups
// Shared memory: 4224 bytes

#include "include/group.glsl"

const uint TILE = 32;

layout(std430, binding = 0) writeonly buffer Out { uint result[]; };
layout(std430, binding = 1) readonly buffer X { uint x[]; };

layout(push_constant) uniform Push {
    uint out_offset, x_offset;
    uint rows, columns, first_group;
};

// One word of padding: a column of the tile lies in different banks.
shared uint tile[TILE][TILE + 1];

void main() {
    uint across = (columns + TILE - 1) / TILE;
    uint group = group_index(first_group);
    if (group >= (rows + TILE - 1) / TILE * across) {
        return;
    }
    uint row = group / across * TILE;
    uint column = group % across * TILE;
    uint lane = gl_LocalInvocationID.x % TILE;
    uint lanes = gl_WorkGroupSize.x / TILE;
    for (uint i = gl_LocalInvocationID.x / TILE; i < TILE; i += lanes) {
        if (row + i < rows && column + lane < columns) {
            tile[i][lane] = x[x_offset + (row + i) * columns + column + lane];
        }
    }
    barrier();
    for (uint i = gl_LocalInvocationID.x / TILE; i < TILE; i += lanes) {
        if (column + i < columns && row + lane < rows) {
            result[out_offset + (column + i) * rows + row + lane] = tile[lane][i];
        }
    }
}
