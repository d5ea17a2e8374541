// Defines `NAME4(e, count)`: elements `e` to `e + 3` of the storage buffer at BINDING, zeros instead of those from `count`
// on. If ALIGNED, `e` is a multiple of four and `count` at least four, and the four are one load.

#define FOUR(NAME, BINDING)                                                             \
    layout(std430, binding = BINDING) readonly buffer NAME##Ones { float NAME[]; };     \
    layout(std430, binding = BINDING) readonly buffer NAME##Fours { vec4 NAME##_fours[]; }; \
    vec4 NAME##4(uint e, uint count) {                                                  \
        if (ALIGNED) {                                                                  \
            return NAME##_fours[e >> 2];                                                \
        }                                                                               \
        vec4 four = vec4(NAME[e], 0.0, 0.0, 0.0);                                       \
        if (count > 1) {                                                                \
            four.y = NAME[e + 1];                                                       \
        }                                                                               \
        if (count > 2) {                                                                \
            four.z = NAME[e + 2];                                                       \
        }                                                                               \
        if (count > 3) {                                                                \
            four.w = NAME[e + 3];                                                       \
        }                                                                               \
        return four;                                                                    \
    }
