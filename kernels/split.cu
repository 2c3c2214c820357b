// Weights as sums of three numbers of 16 bits (bfloat16, the upper half of a float), and states as such numbers. Rows of
// the results lie width elements apart, of which the first columns are used.
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

__device__ inline int64 place(int64 i, int64 columns, int64 width) { return i / columns * width + i % columns; }

// parts (3, rows, width): the nearest number, the nearest to what it leaves, and the rest, such a number itself.
extern "C" __global__ void ENTRY(split)(int64 count, int64 columns, int64 width, const float* __restrict__ values,
                                        narrow* __restrict__ parts) {
    const int64 plane = count / columns * width;
    EACH_ELEMENT(i) {
        const int64 at = place(i, columns, width);
        const narrow first = nearest(values[i]);
        const float rest = values[i] - widened(first);
        const narrow second = nearest(rest);
        parts[at] = first;
        parts[plane + at] = second;
        parts[2 * plane + at] = nearest(rest - widened(second));
    }
}

// out (rows, width): 0 and 1 as numbers of 16 bits.
extern "C" __global__ void ENTRY(narrowed)(int64 count, int64 columns, int64 width, const float* __restrict__ state,
                                           narrow* __restrict__ out) {
    EACH_ELEMENT(i) out[place(i, columns, width)] = nearest(state[i]);
}
