// Reads a stored weight. Who includes this defines the constant WEIGHT, WEIGHT_BINDING, and WEIGHT_ALIGNED: whether
// weight4 is asked for whole fours at multiples of four only.

layout(std430, binding = WEIGHT_BINDING) readonly buffer WeightWords { uint weight_words[]; };
layout(std430, binding = WEIGHT_BINDING) readonly buffer WeightPairs { uvec2 weight_pairs[]; };
layout(std430, binding = WEIGHT_BINDING) readonly buffer WeightQuads { uvec4 weight_quads[]; };

const uint WEIGHT_F32 = 0;
const uint WEIGHT_F16 = 1;

// The two elements of a word of 16-bit elements.
vec2 widened(uint word) {
    return WEIGHT == WEIGHT_F16 ? unpackHalf2x16(word) : uintBitsToFloat(uvec2(word << 16, word & 0xffff0000u));
}

// Element `e`.
float weight(uint e) {
    if (WEIGHT == WEIGHT_F32) {
        return uintBitsToFloat(weight_words[e]);
    }
    return widened(weight_words[e >> 1])[e & 1u];
}

// Elements `e` to `e + 3`, zeros instead of those from `count` on. If WEIGHT_ALIGNED, `e` is a multiple of four and `count` at
// least four.
vec4 weight4(uint e, uint count) {
    if (WEIGHT_ALIGNED) {
        if (WEIGHT == WEIGHT_F32) {
            return uintBitsToFloat(weight_quads[e >> 2]);
        }
        uvec2 words = weight_pairs[e >> 2];
        return vec4(widened(words.x), widened(words.y));
    }
    vec4 four = vec4(weight(e), 0.0, 0.0, 0.0);
    if (count > 1) {
        four.y = weight(e + 1);
    }
    if (count > 2) {
        four.z = weight(e + 2);
    }
    if (count > 3) {
        four.w = weight(e + 3);
    }
    return four;
}
