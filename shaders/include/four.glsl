// Defines of the storage buffer at BINDING, of 16-bit floats if HALVES, two to a word, else of 32-bit ones:
// `NAME_at(e)`, element `e`; `NAME4(e, count)`, elements `e` to `e + 3`, zeros instead of those from `count` on. If ALIGNED,
// the latter's `e` is a multiple of four and `count` at least four, and the four are one load.

#define FOUR(NAME, BINDING, HALVES)                                                          \
    layout(std430, binding = BINDING) readonly buffer NAME##Ones { float NAME##_ones[]; };   \
    layout(std430, binding = BINDING) readonly buffer NAME##Fours { vec4 NAME##_fours[]; };  \
    layout(std430, binding = BINDING) readonly buffer NAME##Words { uint NAME##_words[]; };  \
    layout(std430, binding = BINDING) readonly buffer NAME##Pairs { uvec2 NAME##_pairs[]; }; \
    float NAME##_at(uint e) {                                                                \
        return HALVES ? unpackHalf2x16(NAME##_words[e >> 1])[e & 1u] : NAME##_ones[e];       \
    }                                                                                        \
    vec4 NAME##4(uint e, uint count) {                                                       \
        if (ALIGNED && HALVES) {                                                             \
            uvec2 words = NAME##_pairs[e >> 2];                                              \
            return vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));                   \
        }                                                                                    \
        if (ALIGNED) {                                                                       \
            return NAME##_fours[e >> 2];                                                     \
        }                                                                                    \
        vec4 four = vec4(NAME##_at(e), 0.0, 0.0, 0.0);                                       \
        if (count > 1) {                                                                     \
            four.y = NAME##_at(e + 1);                                                       \
        }                                                                                    \
        if (count > 2) {                                                                     \
            four.z = NAME##_at(e + 2);                                                       \
        }                                                                                    \
        if (count > 3) {                                                                     \
            four.w = NAME##_at(e + 3);                                                       \
        }                                                                                    \
        return four;                                                                         \
    }
