// What captured graphs need beside the primitives: where they stand is in the memory of the device, so that each replay
// goes on from the one before.
#include "philox.cuh"

// The counter goes on by one; now (2,) becomes the temperatures before that step and at it, where there are any.
extern "C" __global__ void ENTRY(tick)(wide* counter, const double* __restrict__ betas, double* now) {
    if (blockIdx.x != 0 || threadIdx.x != 0) return;
    const wide step = *counter + 1;
    *counter = step;
    if (betas) {
        now[0] = betas[step - 1];
        now[1] = betas[step];
    }
}

__device__ inline double bias_at(double beta, double base, double change, double bend) {
    return (base + beta * change) + beta * (1 - beta) * bend;
}

// Biases (units,) of a path at both temperatures, base + beta change + beta (1 - beta) bend, and how far they move.
extern "C" __global__ void ENTRY(tilt)(int64 units, const double* __restrict__ base, const double* __restrict__ change,
                                       const double* __restrict__ bend, const double* __restrict__ now,
                                       real* __restrict__ before, real* __restrict__ after, real* __restrict__ moved) {
    for (int64 u = (int64)blockIdx.x * blockDim.x + threadIdx.x; u < units; u += (int64)gridDim.x * blockDim.x) {
        const double left = bend ? bend[u] : 0;
        const double one = bias_at(now[0], base[u], change[u], left), two = bias_at(now[1], base[u], change[u], left);
        before[u] = (real)one;
        after[u] = (real)two;
        moved[u] = (real)(two - one);
    }
}

// total (rows,) gains the inner product of each row of state (rows, units) with values (units,).
extern "C" __global__ void ENTRY(row_dot)(int64 rows, int64 units, const real* __restrict__ state,
                                          const real* __restrict__ values, double* __restrict__ total) {
    for (int64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const real* s = state + row * units;
        double sum = 0;
        for (int64 u = threadIdx.x; u < units; u += blockDim.x) sum += s[u] * values[u];
        sum = block_reduce(sum, [](double a, double b) { return a + b; });
        if (threadIdx.x == 0) total[row] += sum;
    }
}
