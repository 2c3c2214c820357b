// Runs CUDA kernels on one CPU thread: each thread of a block is a fiber, a barrier passes control to the next fiber.
// Fibers take turns forwards or backwards, so a missing barrier shows as results that depend on the order.
#pragma once
#include <math.h>
#include <setjmp.h>
#include <string.h>
#include <ucontext.h>

#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#define __global__
#define __device__
#define __shared__ static

namespace shim {

struct Index {
    unsigned x;
};

// A fiber lives on from block to block: contexts, which need the kernel of the system, only bring it to life.
struct Fiber {
    jmp_buf place;
    std::unique_ptr<char[]> stack;
    bool done;
};

constexpr size_t STACK = 64 * 1024;
inline std::vector<Fiber> fibers;
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
    fiber.stack.reset(new char[STACK]);
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack.get();
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, enter, 0);
    setcontext(&context);
}

// "*f4" for a pointer to float, "i8" for long long, ...: numpy's name of one argument type.
template <class T>
std::string kind() {
    using Bare = std::remove_cv_t<T>;
    if constexpr (std::is_pointer_v<Bare>) {
        return "*" + kind<std::remove_pointer_t<Bare>>();
    } else {
        const char letter = std::is_floating_point_v<Bare> ? 'f' : std::is_signed_v<Bare> ? 'i' : 'u';
        return letter + std::to_string(sizeof(Bare));
    }
}

template <class... A>
std::string signature(void (*)(A...)) {
    std::string all;
    ((all += kind<A>() + " "), ...);
    return all;
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

// Returns 0, or 1 if some threads of a block left while others waited at a barrier.
inline int launch(void (*kernel)(void**), void** arguments, unsigned grid, unsigned block, int backwards) {
    if (fibers.size() < block) fibers.resize(block);
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
                fibers.clear();  // some stand in the middle of the kernel
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
        static const std::string text = shim::signature(name);                                        \
        return text.c_str();                                                                          \
    }                                                                                                 \
    SHIM_EXPORT int launch_##name(void** arguments, unsigned grid, unsigned block, int backwards) {   \
        return shim::launch([](void** a) { shim::call(name, a); }, arguments, grid, block, backwards); \
    }
