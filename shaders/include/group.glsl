// One-dimensional workgroups, spread over x and y of the dispatch.

layout(local_size_x = 64, local_size_x_id = 0) in;

// The workgroup's number; `first` is that of the dispatch's first one, as a long dispatch may be cut into several.
uint group_index(uint first) {
    return first + gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}

// Row and column of tile number `group` of a result of `tiles` rows and columns of tiles: in bands of eight rows, so that
// the tiles at work at one time share what they read.
uvec2 tile_of(uint group, uvec2 tiles) {
    uint band = group / (8 * tiles.y);
    uint inside = group - band * 8 * tiles.y;
    uint height = min(8, tiles.x - 8 * band);
    return uvec2(8 * band + inside % height, inside / height);
}
