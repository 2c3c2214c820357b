// Products with states of 0 and 1, as sums of the rows of values that belong to units that are on.
// A block of threads (a multiple of 32) takes one row of out and a tile of its columns, a column a thread. Rows are
// added in ascending order, so a sum does not depend on the launch. bad becomes 1 if a state is anything but 0 and 1.
#include "philox.cuh"

// How many threads of the block before this one have on set, and in total how many have.
__device__ inline word place(bool on, word* total) {
    __shared__ word flag[THREADS], count[(THREADS + 31) / 32];
    const word group = threadIdx.x / 32;
    flag[threadIdx.x] = on;
    __syncthreads();
    word before = 0;
    for (word t = 32 * group; t < threadIdx.x; ++t) before += flag[t];
    if (threadIdx.x % 32 == 31) count[group] = before + on;
    __syncthreads();
    word sum = 0;
    for (word g = 0; g < blockDim.x / 32; ++g) {
        if (g == group) before += sum;
        sum += count[g];
    }
    *total = sum;
    return before;
}

// The sum at one column of the rows k < terms of values whose state[k * step] is on; column may lie beyond the last.
__device__ inline real sum_rows(int64 terms, int64 columns, const real* __restrict__ state, int64 step,
                                const real* __restrict__ values, int64 column, int* bad) {
    __shared__ word index[THREADS];
    real sum = 0;
    for (int64 first = 0; first < terms; first += blockDim.x) {
        const int64 k = first + threadIdx.x;
        const real x = k < terms ? state[k * step] : (real)0;
        if (!(x == 0 || x == 1)) atomicOr(bad, 1);
        word total;
        const word free = place(x != 0, &total);
        if (x != 0) index[free] = threadIdx.x;
        __syncthreads();
        if (column < columns) {
            const real* v = values + first * columns + column;
#pragma unroll 8
            for (word i = 0; i < total; ++i) sum += v[index[i] * columns];
        }
    }
    return sum;
}

// out (height, columns): row r sums the rows k < terms of values where state[r * across + k * step] is on.
__device__ inline void sums(int64 height, int64 terms, int64 columns, const real* __restrict__ state, int64 across,
                            int64 step, const real* __restrict__ values, real* __restrict__ out, int* bad) {
    const int64 tiles = columns > blockDim.x ? (columns + blockDim.x - 1) / blockDim.x : 1;
    for (int64 job = blockIdx.x; job < height * tiles; job += gridDim.x) {
        const int64 r = job % height, column = job / height * blockDim.x + threadIdx.x;
        const real sum = sum_rows(terms, columns, state + r * across, step, values, column, bad);
        if (column < columns) out[r * columns + column] = sum;
    }
}

// In both, state is (rows, units) and its rows lie width elements apart.
extern "C" __global__ void ENTRY(binary_product)(int64 rows, int64 units, int64 columns, int64 width,
                                                 const real* __restrict__ state, const real* __restrict__ weight,
                                                 real* __restrict__ out, int* bad) {
    sums(rows, units, columns, state, width, 1, weight, out, bad);
}

extern "C" __global__ void ENTRY(binary_contraction)(int64 rows, int64 units, int64 columns, int64 width,
                                                     const real* __restrict__ state, const real* __restrict__ values,
                                                     real* __restrict__ out, int* bad) {
    sums(units, rows, columns, state, 1, width, values, out, bad);
}
