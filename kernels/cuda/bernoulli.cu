// Kernels of Bernoulli layers and normal draws: arrays are row-major (rows, units), one block of threads takes a row at a time.
// bias_stride is 0 for one bias row shared by all, units for a bias row each. Numbers that a captured graph must find anew
// at each replay come with a pointer: where it is not null, step counts from *counter, and scales are read from scale_at.
#include "philox.cuh"

#define EACH_ROW(row) for (int64 row = blockIdx.x; row < rows; row += gridDim.x)

extern "C" __global__ void ENTRY(philox)(int64 rows, int64 units, word* __restrict__ out, word key0, word key1,
                                         wide step, const wide* counter, int64 first_row) {
    EACH_ROW(row) {
        word* o = out + row * units;
        each_draw(units, key0, key1, from(counter, step), first_row + row, [&](int64 u, word bits) { o[u] = bits; });
    }
}

__device__ inline void draw_row(int64 units, const real* __restrict__ p, real* __restrict__ s, word key0, word key1,
                                wide step, int64 chain) {
    each_draw(units, key0, key1, step, chain, [&](int64 u, word bits) { s[u] = draw(bits, p[u]); });
}

extern "C" __global__ void ENTRY(bernoulli_from_mean)(int64 rows, int64 units, const real* __restrict__ mean,
                                                      real* __restrict__ state, word key0, word key1, wide step,
                                                      const wide* counter, int64 first_row) {
    step = from(counter, step);
    EACH_ROW(row) draw_row(units, mean + row * units, state + row * units, key0, key1, step, first_row + row);
}

extern "C" __global__ void ENTRY(bernoulli_rows)(int64 rows, int64 units, const real* __restrict__ mean,
                                                 const int64* __restrict__ chains, real* __restrict__ state, word key0,
                                                 word key1, wide step, const wide* counter) {
    step = from(counter, step);
    EACH_ROW(row) draw_row(units, mean + row * units, state + row * units, key0, key1, step, chains[row]);
}

extern "C" __global__ void ENTRY(bernoulli_mean)(int64 rows, int64 units, real* __restrict__ field, real scale,
                                                 const real* __restrict__ bias, int64 bias_stride) {
    EACH_ROW(row) {
        real* f = field + row * units;
        const real* b = bias + row * bias_stride;
        for (int64 u = threadIdx.x; u < units; u += blockDim.x) f[u] = sigmoid(scale * f[u] + b[u]);
    }
}

extern "C" __global__ void ENTRY(bernoulli_sample)(int64 rows, int64 units, real* __restrict__ field, real scale,
                                                   const double* scale_at, const real* __restrict__ bias,
                                                   int64 bias_stride, real* __restrict__ state, word key0, word key1,
                                                   wide step, const wide* counter, int64 first_row) {
    step = from(counter, step);
    if (scale_at) scale = (real)*scale_at;
    EACH_ROW(row) {
        real *f = field + row * units, *s = state + row * units;
        const real* b = bias + row * bias_stride;
        each_draw(units, key0, key1, step, first_row + row, [&](int64 u, word bits) {
            const real p = sigmoid(scale * f[u] + b[u]);
            f[u] = p;
            s[u] = draw(bits, p);
        });
    }
}

// Damped mean-field step; change (rows,) is the largest |new - old| of each row, NaN if any is.
extern "C" __global__ void ENTRY(bernoulli_relax)(int64 rows, int64 units, const real* __restrict__ field, real scale,
                                                  const real* __restrict__ bias, int64 bias_stride, real damping,
                                                  real keep, real* __restrict__ mean, real* __restrict__ change) {
    const auto larger = [](real a, real b) { return a != a || a >= b ? a : b; };
    EACH_ROW(row) {
        const real *f = field + row * units, *b = bias + row * bias_stride;
        real *m = mean + row * units, most = 0;
        for (int64 u = threadIdx.x; u < units; u += blockDim.x) {
            const real old = m[u], fresh = damping * old + keep * sigmoid(scale * f[u] + b[u]);
            m[u] = fresh;
            most = larger(most, magnitude(fresh - old));
        }
        most = block_reduce(most, larger);
        if (threadIdx.x == 0) change[row] = most;
    }
}

// One temperature of annealed importance sampling: increment (rows,) gains the change in log-partition of the units.
extern "C" __global__ void ENTRY(bernoulli_anneal)(int64 rows, int64 units, real* __restrict__ field, real scale0,
                                                   real scale1, const double* scale_at, const real* __restrict__ bias0,
                                                   const real* __restrict__ bias1, real* __restrict__ state,
                                                   double* __restrict__ increment, word key0, word key1, wide step,
                                                   const wide* counter, int64 first_row) {
    step = from(counter, step);
    if (scale_at) {
        scale0 = (real)scale_at[0];
        scale1 = (real)scale_at[1];
    }
    EACH_ROW(row) {
        real *f = field + row * units, *s = state + row * units;
        double sum = 0;
        each_draw(units, key0, key1, step, first_row + row, [&](int64 u, word bits) {
            const Softplus before = softplus(scale0 * f[u] + bias0[u]), after = softplus(scale1 * f[u] + bias1[u]);
            sum += (after.above - before.above) + (after.rest - before.rest);
            f[u] = after.mean;
            s[u] = draw(bits, after.mean);
        });
        sum = block_reduce(sum, [](double a, double b) { return a + b; });
        if (threadIdx.x == 0) increment[row] += sum;
    }
}

// log_density (rows,) gains the log-density of the units in row / repeat of state; field becomes its derivative.
extern "C" __global__ void ENTRY(bernoulli_score)(int64 rows, int64 units, real* __restrict__ field,
                                                  const real* __restrict__ bias, const real* __restrict__ state,
                                                  int64 repeat, double* __restrict__ log_density) {
    EACH_ROW(row) {
        real* f = field + row * units;
        const real* s = state + row / repeat * units;
        double sum = 0;
        for (int64 u = threadIdx.x; u < units; u += blockDim.x) {
            const real x = f[u] + bias[u];
            const Softplus soft = softplus(x);
            sum += (s[u] * x - soft.above) - soft.rest;
            f[u] = s[u] - soft.mean;
        }
        sum = block_reduce(sum, [](double a, double b) { return a + b; });
        if (threadIdx.x == 0) log_density[row] += sum;
    }
}

extern "C" __global__ void ENTRY(normal)(int64 rows, int64 units, real* __restrict__ out,
                                         const int64* __restrict__ chains, word key0, word key1, wide step,
                                         const wide* counter) {
    EACH_ROW(row) {
        real* o = out + row * units;
        each_draw(units, key0, key1, from(counter, step), chains[row], [&](int64 u, word bits) { o[u] = gauss(bits); });
    }
}
