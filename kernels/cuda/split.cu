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

// The nearest number to each of values (rows, columns), the nearest to what it leaves, and the rest, which is such a
// number itself; the last first. upward has them below each other, (3 rows, up), downward beside each other, (rows, down),
// where up and down are the elements from one row to the next.
extern "C" __global__ void ENTRY(split)(int64 count, int64 columns, const float* __restrict__ values, int64 up,
                                        narrow* __restrict__ upward, int64 down, narrow* __restrict__ downward) {
    const int64 rows = count / columns;
    EACH_ELEMENT(i) {
        const int64 row = i / columns, column = i % columns;
        const narrow first = nearest(values[i]);
        const float rest = values[i] - widened(first);
        const narrow second = nearest(rest), third = nearest(rest - widened(second));
        upward[row * up + column] = downward[row * down + column] = third;
        upward[(rows + row) * up + column] = downward[row * down + columns + column] = second;
        upward[(2 * rows + row) * up + column] = downward[row * down + 2 * columns + column] = first;
    }
}

// out (rows, width): each row of state (rows, columns) three times beside itself, as numbers of 16 bits.
extern "C" __global__ void ENTRY(thrice)(int64 count, int64 columns, const float* __restrict__ state, int64 width,
                                         narrow* __restrict__ out) {
    EACH_ELEMENT(i) {
        const narrow x = nearest(state[i]);
        narrow* o = out + i / columns * width + i % columns;
        o[0] = o[columns] = o[2 * columns] = x;
    }
}
