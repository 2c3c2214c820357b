// Draws of binomial layers: arrays are row-major (rows, units), one block of threads takes a row at a time; where counter
// is not null, step counts from *counter.
#include "philox.cuh"

// The binomial quantile of so many trials at (bits + 1/2) / 2^32, by sums from the end that is nearer to the mean; NaN if
// the mean is NaN.
__device__ inline real binomial(word bits, real mean, int64 trials) {
    const bool upper = mean > 0.5 * trials;
    const double share = (upper ? trials - (double)mean : (double)mean) / trials;
    const double reach = ((upper ? ~bits : bits) + 0.5) / 4294967296.0, odds = share / (1.0 - share);
    double term = 1.0, power = 1.0 - share;
    for (int64 left = trials; left > 0; left >>= 1) {
        if (left & 1) term *= power;
        power *= power;
    }
    double below = term;
    int64 count = 0;
    while (below <= reach && count < trials) {
        term *= odds * ((trials - count) / (count + 1.0));
        below += term;
        ++count;
    }
    return (real)(upper ? trials - count : count) + (mean - mean);
}

extern "C" __global__ void ENTRY(binomial_from_mean)(int64 rows, int64 units, const real* __restrict__ mean,
                                                     int64 trials, real* __restrict__ state, word key0, word key1,
                                                     wide step, const wide* counter, int64 first_row) {
    step = from(counter, step);
    for (int64 row = blockIdx.x; row < rows; row += gridDim.x) {
        const real* m = mean + row * units;
        real* s = state + row * units;
        each_draw(units, key0, key1, step, first_row + row,
                  [&](int64 u, word bits) { s[u] = binomial(bits, m[u], trials); });
    }
}
