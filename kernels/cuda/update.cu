// Parameter updates (ascent), one pass over flat arrays; bad becomes 1 if any new parameter is not finite.
#include "philox.cuh"

#define EACH_ELEMENT(i) \
    for (int64 i = (int64)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += (int64)gridDim.x * blockDim.x)

// The gradient of the penalised objective: weight decay l2 / 2 w^2 and l1 |w| taken off.
__device__ inline real penalised(real gradient, real w, real l2, real l1) {
    const real sign = w > 0 ? (real)1 : (w < 0 ? (real)-1 : (real)0);
    return gradient - l2 * w - l1 * sign;
}

__device__ inline void store(real* parameter, real value, int* bad) {
    *parameter = value;
    if (!(value - value == 0)) atomicOr(bad, 1);
}

extern "C" __global__ void ENTRY(momentum_update)(int64 count, real* __restrict__ parameter,
                                                  const real* __restrict__ gradient, real* __restrict__ velocity,
                                                  real rate, real momentum, int nesterov, real l2, real l1, int* bad) {
    EACH_ELEMENT(i) {
        const real w = parameter[i], step = rate * penalised(gradient[i], w, l2, l1);
        const real v = momentum * velocity[i] + step;
        velocity[i] = v;
        store(parameter + i, w + (nesterov ? momentum * v + step : v), bad);
    }
}

// rate is already divided by 1 - beta1^count and correction is 1 / (1 - beta2^count); rest is 1 - beta.
extern "C" __global__ void ENTRY(adam_update)(int64 count, real* __restrict__ parameter,
                                              const real* __restrict__ gradient, real* __restrict__ first,
                                              real* __restrict__ second, real rate, real beta1, real rest1, real beta2,
                                              real rest2, real epsilon, real correction, real l2, real l1, int* bad) {
    EACH_ELEMENT(i) {
        const real w = parameter[i], g = penalised(gradient[i], w, l2, l1);
        const real m = beta1 * first[i] + rest1 * g, v = beta2 * second[i] + rest2 * g * g;
        first[i] = m;
        store(second + i, v, bad);  // an infinite v would only freeze w
        store(parameter + i, w + rate * m / (sqrt(v * correction) + epsilon), bad);
    }
}
