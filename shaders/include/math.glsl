// Elementary functions. The built-in exp may be off by 3 + 2 |x| units in the last place, which is too much here, and
// what infinities do is up to the device: nothing below makes one from finite numbers.

const uint NO_ACTIVATION = 0;
const uint SILU = 1;
const uint GELU_TANH = 2;

// e^x of numbers up to 0, to about one unit in the last place; 0 where it would be below the normal range, NaN of NaN.
//
// x = n ln 2 + r with a whole n and |r| <= ln 2 / 2, so e^x = 2^n e^r. The polynomial is that of kernels/src/math.rs.
float exp_of_less(float x) {
    precise float n = round(max(x, -200.0) * 1.44269504);
    // ln 2 in two parts, the first short enough for its product with n to be exact.
    precise float r = (x - n * 0.693359375) + n * 2.12194440e-4;
    float p = 1.3814539e-3;
    p = p * r + 8.368745e-3;
    p = p * r + 4.166839e-2;
    p = p * r + 1.6666521e-1;
    p = p * r + 4.9999994e-1;
    p = (p * r) * r + r + 1.0;
    return x < -87.0 ? 0.0 : p * intBitsToFloat((int(n) + 127) << 23);
}

// x / (1 + e^-x), with the exponential of -|x| only: for x < 0 it is x e^x / (1 + e^x).
float silu(float x) {
    float e = exp_of_less(-abs(x));
    return (x < 0.0 ? x * e : x) / (1.0 + e);
}

// x/2 (1 + tanh u) with u = sqrt(2/pi) (x + 0.044715 x^3), which is x / (1 + e^-2u).
float gelu_tanh(float x) {
    // Beyond 20 the exponential is 0 whatever u.
    float a = min(abs(x), 20.0);
    float e = exp_of_less(-a * (1.5957691216 + 0.0713548162726 * a * a));
    return (x < 0.0 ? x * e : x) / (1.0 + e);
}

float activate(float x, uint activation) {
    if (activation == SILU) {
        return silu(x);
    }
    if (activation == GELU_TANH) {
        return gelu_tanh(x);
    }
    return x;
}
