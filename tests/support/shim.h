// Runs CUDA kernels on one CPU thread: each thread of a block is a fiber, a barrier passes control to the next fiber.
// Fibers take turns forwards or backwards, so a missing barrier shows as results that depend on the order.
#pragma once
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __shared__ static

// What kernels take of math.h, which would be half of the time of a compilation.
#define SHIM_MATH(name)              \
    extern "C" double name(double);  \
    extern "C" float name##f(float); \
    inline float name(float x) { return name##f(x); }

SHIM_MATH(erf)
SHIM_MATH(erfc)
SHIM_MATH(exp)
SHIM_MATH(log)
SHIM_MATH(log1p)
SHIM_MATH(sqrt)

namespace shim {

struct Index {
    unsigned x;
};

// A fiber lives on from block to block: contexts, which need the kernel of the system, only bring it to life.
struct Fiber {
    jmp_buf place;
    char* stack;
    bool done;
};

constexpr size_t STACK = 64 * 1024;
inline Fiber fibers[1024];
inline jmp_buf scheduler;
inline void (*body)(void**);
inline void** values;
inline unsigned current;

inline void pause() {
    if (_setjmp(fibers[current].place) == 0) _longjmp(scheduler, 1);
}

inline void enter() {
    for (;;) {
        body(values);
        fibers[current].done = true;
        pause();
    }
}

inline void advance(Fiber& fiber) {
    if (_setjmp(scheduler) != 0) return;
    if (fiber.stack) _longjmp(fiber.place, 1);
    fiber.stack = static_cast<char*>(malloc(STACK));
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, enter, 0);
    setcontext(&context);
}

// Writes "*f4 " for a pointer to float, "i8 " for long long, ...: numpy's name of one argument type.
template <class T>
char* kind(char* to) {
    using Bare = std::remove_cv_t<T>;
    if constexpr (std::is_pointer_v<Bare>) {
        *to++ = '*';
        return kind<std::remove_pointer_t<Bare>>(to);
    } else {
        *to++ = std::is_floating_point_v<Bare> ? 'f' : std::is_signed_v<Bare> ? 'i' : 'u';
        *to++ = '0' + sizeof(Bare);
        *to++ = ' ';
        return to;
    }
}

// The names of all argument types, which must fit in the 256 characters that are given.
template <class... A>
const char* signature(void (*)(A...), char* text) {
    static_assert(4 * sizeof...(A) < 256);
    char* to = text;
    ((to = kind<A>(to)), ...);
    *to = 0;
    return text;
}

template <class... A, size_t... I>
void unpack(void (*kernel)(A...), void** arguments, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<A>*>(arguments[I])...);
}

template <class... A>
void call(void (*kernel)(A...), void** arguments) {
    unpack(kernel, arguments, std::index_sequence_for<A...>());
}

}  // namespace shim

static shim::Index threadIdx, blockIdx, blockDim, gridDim;

inline void __syncthreads() { shim::pause(); }

inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((unsigned long long)a * b) >> 32); }

inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

inline int atomicOr(int* address, int value) {
    const int old = *address;
    *address |= value;
    return old;
}

namespace shim {

inline void forget() {
    for (Fiber& fiber : fibers) {
        free(fiber.stack);
        fiber.stack = nullptr;
    }
}

// Returns 0, or 1 if some threads of a block left while others waited at a barrier.
inline int launch(void (*kernel)(void**), void** arguments, unsigned grid, unsigned block, int backwards) {
    body = kernel;
    values = arguments;
    gridDim.x = grid;
    blockDim.x = block;
    for (blockIdx.x = 0; blockIdx.x < grid; ++blockIdx.x) {
        for (unsigned i = 0; i < block; ++i) fibers[i].done = false;
        for (unsigned left = block; left > 0;) {
            for (unsigned i = 0; i < block; ++i) {
                current = backwards ? block - 1 - i : i;
                threadIdx.x = current;
                advance(fibers[current]);
                left -= fibers[current].done;
            }
            if (left != 0 && left != block) {
                forget();  // some stand in the middle of the kernel
                return 1;
            }
        }
    }
    return 0;
}

}  // namespace shim

#define SHIM_EXPORT extern "C" __attribute__((visibility("default")))
#define SHIM(name) SHIM_(name)
#define SHIM_(name)                                                                                   \
    SHIM_EXPORT const char* signature_##name() {                                                      \
        static char text[256];                                                                        \
        return shim::signature(name, text);                                                           \
    }                                                                                                 \
    SHIM_EXPORT int launch_##name(void** arguments, unsigned grid, unsigned block, int backwards) {   \
        return shim::launch([](void** a) { shim::call(name, a); }, arguments, grid, block, backwards); \
    }
