// Random bits and arithmetic shared by the kernels: Philox4x32-10 (Salmon et al. 2011), sigmoid, softplus, normal
// quantiles, block sums.
//
// The compiler is given REAL (float or double), SUFFIX (f32 or f64) and THREADS (the most threads of a block), and must
// not contract products and sums, so that a float result is the same on every device and on a CPU.
// Only built-in types and functions are used: no header of CUDA or C++ is needed.

typedef REAL real;
typedef unsigned int word;
typedef unsigned long long wide;
typedef long long int64;

#define JOIN_(name, suffix) boltz_##name##_##suffix
#define JOIN(name, suffix) JOIN_(name, suffix)
#define ENTRY(name) JOIN(name, SUFFIX)

struct Words {
    word w[4];
};

__device__ inline Words philox(Words c, word key0, word key1) {
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const word high0 = __umulhi(0xD2511F53u, c.w[0]), low0 = 0xD2511F53u * c.w[0];
        const word high1 = __umulhi(0xCD9E8D57u, c.w[2]), low1 = 0xCD9E8D57u * c.w[2];
        c = Words{{high1 ^ c.w[1] ^ key0, low1, high0 ^ c.w[3] ^ key1, low0}};
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    return c;
}

// Visit every unit of one chain with its random bits; a lane (one Philox block) serves units u, u + 16, u + 32, u + 48
// of a tile of 64, and the threads of the block share the lanes.
template <class Visit>
__device__ inline void each_draw(int64 units, word key0, word key1, wide step, int64 chain, Visit visit) {
    const int64 lanes = (units + 63) / 64 * 16;
    for (int64 lane = threadIdx.x; lane < lanes; lane += blockDim.x) {
        const Words bits = philox(Words{{(word)lane, (word)chain, (word)step, (word)(step >> 32)}}, key0, key1);
        const int64 first = lane / 16 * 64 + lane % 16;
#pragma unroll
        for (int k = 0; k < 4; ++k) {
            if (first + 16 * k < units) visit(first + 16 * k, bits.w[k]);
        }
    }
}

// The step of a stream: as given, or so many steps after the one that a counter in the memory of the device stands at.
__device__ inline wide from(const wide* counter, wide step) { return counter ? *counter + step : step; }

// 1 with probability p (in steps of 2^-30; p = 1 always, p = 0 never), NaN if p is NaN.
__device__ inline real draw(word bits, real p) {
    const bool on = (int)(bits >> 2) < (int)(p * (real)1073741824);
    return (on ? (real)1 : (real)0) + (p - p);
}

// exp(x) by reduction to |r| <= ln(2) / 2 and seven Taylor terms; x is clipped to +-87, where the result is normal.
__device__ inline float exponential(float x) {
    x = x > 87.0f ? 87.0f : x;
    x = x < -87.0f ? -87.0f : x;
    const float rounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer in the low bits
    const float shifted = x * 1.44269504f + rounder;
    const float n = shifted - rounder;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    float p = 1.98412698e-4f;
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    return p * __uint_as_float((__float_as_uint(shifted) + 127u) << 23);
}

__device__ inline double exponential(double x) { return exp(x); }

// log(1 + t) for 0 <= t <= 1 by 2 atanh(t / (2 + t)).
__device__ inline float log1p_unit(float t) {
    const float s = t / (2.0f + t), q = s * s;
    float p = 1.33333333e-1f;
    p = p * q + 1.53846154e-1f;
    p = p * q + 1.81818182e-1f;
    p = p * q + 2.22222222e-1f;
    p = p * q + 2.85714286e-1f;
    p = p * q + 4.0e-1f;
    p = p * q + 6.66666667e-1f;
    p = p * q + 2.0f;
    return s * p;
}

__device__ inline double log1p_unit(double t) { return log1p(t); }

// log(x) of a normal x > 0: x = 2^n m with m between sqrt(1/2) and sqrt(2), log(m) = 2 atanh((m - 1) / (m + 1)).
__device__ inline float logarithm(float x) {
    const int n = (int)(__float_as_uint(x) - 0x3f3504f3u) >> 23;
    const float m = __uint_as_float(__float_as_uint(x) - ((word)n << 23));
    const float s = (m - 1.0f) / (m + 1.0f), q = s * s;
    float p = 2.22222222e-1f;
    p = p * q + 2.85714286e-1f;
    p = p * q + 4.0e-1f;
    p = p * q + 6.66666667e-1f;
    p = p * q + 2.0f;
    return s * p + (float)n * 0.693147181f;
}

// The normal quantile at (r + 1/2) / 2^32, sign dropped, for r < 2^31: (1 - 2 p) times a polynomial in w - 3 or, beyond
// w = 6, in sqrt(w) - 3.54, where w = -log(4 p (1 - p)) (after Giles 2010; the coefficients are those of cpu/bernoulli.py).
__device__ inline float half_normal(word r, float) {
    const float p = ((float)r + 0.5f) * 2.32830644e-10f, x = ((float)(0x7fffffffu - r) + 0.5f) * 4.65661287e-10f;
    const float w = -logarithm(4.0f * p * (1.0f - p));
    float z;
    if (w < 6.0f) {
        const float v = w - 3.0f;
        z = -8.24030888e-09f;
        z = z * v - 6.13040108e-09f;
        z = z * v + 6.44290765e-07f;
        z = z * v - 2.66626535e-06f;
        z = z * v - 1.80414427e-05f;
        z = z * v + 0.000276445295f;
        z = z * v - 0.00118238362f;
        z = z * v - 0.00811557844f;
        z = z * v + 0.341716886f;
        z = z * v + 2.29603529f;
    } else {
        const float v = sqrtf(w) - 3.54f;
        z = 3.67501707e-05f;
        z = z * v - 0.000269675569f;
        z = z * v + 0.000619687897f;
        z = z * v - 0.000850912707f;
        z = z * v + 0.00131755264f;
        z = z * v - 0.00267530489f;
        z = z * v + 0.00430775434f;
        z = z * v + 1.42499089f;
        z = z * v + 4.77408171f;
    }
    return z * x;
}

// In double one step of Halley's method from the value above.
__device__ inline double half_normal(word r, double) {
    const double p = (r + 0.5) / 4294967296.0, x = 1.0 - (r + 0.5) / 2147483648.0;
    const double z = half_normal(r, 0.0f), scaled = z * 0.70710678118654752;
    const double excess = p < 0.25 ? 0.5 * erfc(scaled) - p : 0.5 * (x - erf(scaled));
    const double step = excess * exp(0.5 * z * z) * 2.5066282746310005;
    return z + step / (1.0 - 0.5 * z * step);
}

// The normal quantile at (bits + 1/2) / 2^32; bits and their complement give opposite numbers.
__device__ inline real gauss(word bits) {
    return bits >> 31 ? half_normal(~bits, (real)0) : -half_normal(bits, (real)0);
}

__device__ inline real magnitude(real x) { return x < 0 ? -x : x; }

__device__ inline real sigmoid(real x) { return (real)1 / ((real)1 + exponential(-x)); }

// softplus(x) = above + rest, kept apart so that differences of large values stay accurate, and its derivative.
struct Softplus {
    real above, rest, mean;
};

__device__ inline Softplus softplus(real x) {
    const real t = exponential(-magnitude(x));
    const real inverse = (real)1 / ((real)1 + t);
    return Softplus{x < 0 ? (real)0 : x, log1p_unit(t), (x < 0 ? t : (real)1) * inverse};
}

// Combine one value a thread in an order that depends on the number of threads alone; thread 0 gets the result.
template <class T, class Combine>
__device__ inline T block_reduce(T value, Combine combine) {
    __shared__ T part[THREADS];
    part[threadIdx.x] = value;
    __syncthreads();
    for (word left = blockDim.x; left > 1;) {
        const word half = (left + 1) / 2;
        if (threadIdx.x + half < left) part[threadIdx.x] = combine(part[threadIdx.x], part[threadIdx.x + half]);
        __syncthreads();
        left = half;
    }
    return threadIdx.x == 0 ? part[0] : value;
}
