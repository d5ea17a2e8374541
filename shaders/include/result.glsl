// What is written to binding 0: 32-bit floats, or two 16-bit ones to a word if OUT_HALVES, where all pairs begin at even
// elements.

layout(std430, binding = 0) buffer Out { float result[]; };
layout(std430, binding = 0) buffer OutWords { uint result_words[]; };

// Writes elements `e` and, if there are two, `e + 1`.
void write_pair(uint e, vec2 pair, bool two) {
    if (OUT_HALVES) {
        result_words[e >> 1] = packHalf2x16(pair);
        return;
    }
    result[e] = pair.x;
    if (two) {
        result[e + 1] = pair.y;
    }
}
