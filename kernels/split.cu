// Weights as sums of three numbers of 16 bits (bfloat16, the upper half of a float), and states as such numbers.
#include "philox.cuh"

typedef unsigned short narrow;

#define EACH_ELEMENT(i) \
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (int64)gridDim.x * blockDim.x)

// The nearest number of 16 bits, ties to even; NaN stays NaN.
__device__ inline narrow nearest(float x) {
    const word bits = __float_as_uint(x);
    return x != x ? (narrow)0x7fc0u : (narrow)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

__device__ inline float widened(narrow x) { return __uint_as_float((word)x << 16); }

// parts (3, count): the nearest number, the nearest to what it leaves, and the rest, which is such a number itself.
extern "C" __global__ void ENTRY(split)(int64 count, const float* __restrict__ values, narrow* __restrict__ parts) {
    EACH_ELEMENT(i) {
        const narrow first = nearest(values[i]);
        const float rest = values[i] - widened(first);
        const narrow second = nearest(rest);
        parts[i] = first;
        parts[count + i] = second;
        parts[2 * count + i] = nearest(rest - widened(second));
    }
}

// out (count,): 0 and 1 as numbers of 16 bits.
extern "C" __global__ void ENTRY(narrowed)(int64 count, const float* __restrict__ state, narrow* __restrict__ out) {
    EACH_ELEMENT(i) out[i] = nearest(state[i]);
}
