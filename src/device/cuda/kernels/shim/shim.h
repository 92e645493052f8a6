// The parts of CUDA that the kernels use, for the host: keywords, thread indices, shared memory, barriers and shuffles.
// Included instead of CUDA's headers when a plain C++17 compiler builds the kernels (TRANSCRIBE_HOST).
//
// Each CUDA thread of a block is a fiber. The fibers of a block run one at a time until each waits at a barrier or for the
// other lanes of its warp, in an order that changes from launch to launch, so that a missing barrier shows. Deadlocks and
// accesses outside of shared memory are reported as errors.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>

// `__fmul_rn` and the like round after each operation on the device, so the host must not contract them either.
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__aarch64__)
#pragma GCC optimize("fp-contract=off")
#endif

#define __global__ __attribute__((visibility("hidden")))
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define UNROLL

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};

struct uint3 {
    unsigned x, y, z;
};

namespace shim {

// The thread and the block that are running, set by the scheduler.
struct Position {
    uint3 thread, block, block_size, grid;
};
extern thread_local Position position;

[[noreturn]] void fail(const char* what, int line);
void barrier(int line);

// Synchronizes the lanes of a warp: the last to arrive calls `all` with the operands of every lane, and each lane gets its
// result.
using Meeting = void (*)(const unsigned char (*operands)[32], unsigned char (*results)[32]);
void meet(const char* kind, int line, const void* operand, size_t bytes, Meeting all, void* result,
          size_t result_bytes);

// Returns shared memory of the block: the same for all threads with the same key.
void* shared(const void* key, size_t bytes);
// Returns the dynamic shared memory of the launch.
void* dynamic_shared(size_t* bytes);
// Fails unless all of the range is allocated shared memory.
void check_shared(const void* address, size_t bytes, int line);

template <typename T>
class SharedArray {
    T* first_;
    size_t count_;

public:
    SharedArray(T* first, size_t count) : first_(first), count_(count) {}
    operator T*() const { return first_; }
    template <typename I>
    T& operator[](I index) const {
        if (static_cast<size_t>(index) >= count_) fail("an index is outside of shared memory", 0);
        return first_[index];
    }
};

inline void sync_warp(int line) {
    unsigned nothing = 0;
    meet("__syncwarp", line, &nothing, sizeof nothing, [](auto, auto) {}, &nothing, 0);
}

enum Shuffle { Xor, Down, From };

template <int KIND, typename T>
T shuffle(int line, unsigned mask, T value, int lane) {
    struct Both {
        T value;
        int lane;
    };
    static_assert(sizeof(Both) <= 32, "a lane carries 32 bytes at most");
    if (mask != 0xffffffffu) fail("a shuffle of only some lanes", line);
    Both both = {value, lane};
    meet(KIND == Xor ? "__shfl_xor_sync" : KIND == Down ? "__shfl_down_sync" : "__shfl_sync", line, &both, sizeof both,
         [](const unsigned char (*operands)[32], unsigned char (*results)[32]) {
             for (int lane = 0; lane < 32; ++lane) {
                 Both mine, other;
                 memcpy(&mine, operands[lane], sizeof mine);
                 int from = KIND == Xor ? lane ^ mine.lane : KIND == Down ? lane + mine.lane : mine.lane;
                 memcpy(&other, operands[from > 31 ? lane : from], sizeof other);
                 memcpy(results[lane], &other.value, sizeof(T));
             }
         },
         &value, sizeof value);
    return value;
}

// Calls a kernel with parameters as `cuLaunchKernel` takes them.
using Call = void (*)(void (*kernel)(), void** parameters);

struct Registration {
    const char* name;
    void (*kernel)();
    Call call;
    unsigned min_block, max_block;
    Registration* next;

    template <typename... A>
    Registration(const char* name, void (*kernel)(A...), unsigned min_block, unsigned max_block)
        : name(name), kernel(reinterpret_cast<void (*)()>(kernel)), call(&with<A...>), min_block(min_block),
          max_block(max_block),
          next(first) {
        first = this;
    }

    static Registration* first;

private:
    template <typename... A>
    static void with(void (*kernel)(), void** parameters) {
        spread<A...>(reinterpret_cast<void (*)(A...)>(kernel), parameters, std::index_sequence_for<A...>());
    }
    template <typename... A, size_t... I>
    static void spread(void (*kernel)(A...), void** parameters, std::index_sequence<I...>) {
        kernel(*static_cast<A*>(parameters[I])...);
    }
};

}  // namespace shim

#define threadIdx (shim::position.thread)
#define blockIdx (shim::position.block)
#define blockDim (shim::position.block_size)
#define gridDim (shim::position.grid)

#define __syncthreads() shim::barrier(__LINE__)
#define __syncwarp() shim::sync_warp(__LINE__)
#define __shfl_xor_sync(mask, value, lanes) shim::shuffle<shim::Xor>(__LINE__, mask, value, lanes)
#define __shfl_down_sync(mask, value, lanes) shim::shuffle<shim::Down>(__LINE__, mask, value, lanes)
#define __shfl_sync(mask, value, lane) shim::shuffle<shim::From>(__LINE__, mask, value, lane)

// An array in shared memory, for both compilers.
#define SHARED(type, name, count)       \
    static const char name##_key = 0;   \
    shim::SharedArray<type> name(static_cast<type*>(shim::shared(&name##_key, sizeof(type) * (count))), count)

// Registers a kernel with its smallest and largest block.
#define EXPORT(kernel, min_block, max_block) \
    static shim::Registration kernel##_registration(#kernel, &kernel, min_block, max_block);

// The 16-bit formats, for storage only: all arithmetic is in single precision.
struct __half {
    uint16_t bits;
};
struct __nv_bfloat16 {
    uint16_t bits;
};

inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, 4);
    return x;
}
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, 4);
    return bits;
}

inline float __half2float(__half h) {
    unsigned sign = (h.bits & 0x8000u) << 16, rest = h.bits & 0x7fffu;
    if (rest >= 0x7c00) return __uint_as_float(sign | 0x7f800000u | (rest & 0x3ff) << 13);
    // The product corrects the exponent; it is exact, and makes subnormal numbers normal.
    float x = __uint_as_float(rest << 13) * __uint_as_float((254u - 15u) << 23);
    return __uint_as_float(sign | __float_as_uint(x));
}

inline __half __float2half_rn(float x) {
    unsigned bits = __float_as_uint(x), sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return {uint16_t(0x7fff)};
    if (bits >= 0x477ff000u) return {uint16_t(sign | 0x7c00)};
    if (bits < 0x38800000u) {
        // Subnormal numbers: the addition rounds to the remaining bits.
        float rounded = __uint_as_float(bits) + 0.5f;
        return {uint16_t(sign | (__float_as_uint(rounded) - 0x3f000000u))};
    }
    unsigned odd = bits >> 13 & 1;
    return {uint16_t(sign | ((bits - 0x38000000u + 0xfff + odd) >> 13))};
}

inline float __bfloat162float(__nv_bfloat16 b) { return __uint_as_float(unsigned(b.bits) << 16); }

inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    unsigned bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {uint16_t(0x7fff)};
    return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

inline unsigned short __half_as_ushort(__half h) { return h.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 b) { return b.bits; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return {bits}; }

inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
using std::isnan;
using std::max;
using std::min;
