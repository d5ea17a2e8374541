// Which pixels of the input a convolution's tile of BM results sees: what conv3d and conv3d_units are told, and have in common.
// Who includes this defines the constant BM.

layout(push_constant) uniform Push {
    uint out_offset, x_offset, tail_offset, w_offset, bias_offset;
    uint frames, height, width, c, n;
    uint out_frames, out_height, out_width;
    uint kt, kh, kw;
    uint stride_t, stride_h, stride_w;
    uint tail_frames, pad_front, pad_top, pad_left;
    uint row_stride, channel_stride, tap_stride, first_group;
};

// Where the first tap of each row of the tile lies, counted from the first frame of the tail (or of x) and the first row
// and column of a frame; negative in the padding.
shared int first_frame[BM];
shared int first_line[BM];
shared int first_column[BM];

// Notes where the rows from `start` on lie, of so many pixels of the result; a barrier has to follow.
void place_rows(uint start, uint pixels) {
    for (uint row = gl_LocalInvocationID.x; row < BM; row += gl_WorkGroupSize.x) {
        uint place = start + row;
        uint line = place / out_width;
        uint frame = line / out_height;
        // Rows beyond the last pixel see nothing.
        first_frame[row] = place < pixels ? int(frame * stride_t) - int(pad_front) : -0x40000000;
        first_line[row] = int((line - frame * out_height) * stride_h) - int(pad_top);
        first_column[row] = int((place - line * out_width) * stride_w) - int(pad_left);
    }
}

// The last frame that the tile has a part in: taps that are in the padding for it are so for all.
uint last_frame_of(uint start, uint pixels) {
    uint last_place = min(start + BM, pixels) - 1;
    return last_place / (out_width * out_height) * stride_t;
}

const uint IN_PADDING = 0xffffffffu;

// The pixel, counted through the tail and then x, that a tap of the tile's row sees; IN_PADDING if none.
uint seen_pixel(uint row, uvec3 tap) {
    int t = first_frame[row] + int(tap.x);
    uint line = uint(first_line[row] + int(tap.y));
    uint column = uint(first_column[row] + int(tap.z));
    // What is negative is a large number now.
    if (t < 0 || line >= height || column >= width) {
        return IN_PADDING;
    }
    return (uint(t) * height + line) * width + column;
}
