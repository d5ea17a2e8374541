// One-dimensional workgroups, spread over x and y of the dispatch.

layout(local_size_x = 64, local_size_x_id = 0) in;

// The workgroup's number; `first` is that of the dispatch's first one, as a long dispatch may be cut into several.
uint group_index(uint first) {
    return first + gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
}
