// Numbers in memory (f32, f16, bf16) and in registers (f32): conversions, and accesses to 8 numbers at once.
#pragma once

typedef unsigned long long Count;

constexpr float LOG2_E = 1.4426950408889634f;

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ float widen(__half x) { return __half2float(x); }
__device__ __forceinline__ float widen(__nv_bfloat16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T narrow(float x);
template <> __device__ __forceinline__ float narrow<float>(float x) { return x; }
template <> __device__ __forceinline__ __half narrow<__half>(float x) { return __float2half_rn(x); }
template <> __device__ __forceinline__ __nv_bfloat16 narrow<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }

__device__ __forceinline__ unsigned bits_of(__half x) { return __half_as_ushort(x); }
__device__ __forceinline__ unsigned bits_of(__nv_bfloat16 x) { return __bfloat16_as_ushort(x); }

template <typename T> __device__ __forceinline__ T of_bits(unsigned bits);
template <> __device__ __forceinline__ __half of_bits<__half>(unsigned bits) {
    return __ushort_as_half(static_cast<unsigned short>(bits));
}
template <> __device__ __forceinline__ __nv_bfloat16 of_bits<__nv_bfloat16>(unsigned bits) {
    return __ushort_as_bfloat16(static_cast<unsigned short>(bits));
}

// Packs two 16-bit numbers, the first one in the low half: one instruction on the device.
template <typename T> __device__ __forceinline__ unsigned pair(float low, float high) {
    return bits_of(narrow<T>(low)) | bits_of(narrow<T>(high)) << 16;
}
#ifndef TRANSCRIBE_HOST
template <> __device__ __forceinline__ unsigned pair<__half>(float low, float high) {
    unsigned bits;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}
template <> __device__ __forceinline__ unsigned pair<__nv_bfloat16>(float low, float high) {
    unsigned bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(high), "f"(low));
    return bits;
}
#endif

// Eight numbers as they are in memory: 16 bytes, or 32 in single precision.
template <typename T> struct Eight {
    uint4 words[sizeof(T) / 2];
};
template <> struct Eight<float> {
    uint4 words[2];
};

template <typename T> __device__ __forceinline__ void check_aligned(const T* pointer) {
#ifdef TRANSCRIBE_HOST
    if (reinterpret_cast<uintptr_t>(pointer) % 16) shim::fail("an access of 16 bytes is not aligned", 0);
#else
    (void)pointer;
#endif
}

template <typename T> __device__ __forceinline__ Eight<T> load8(const T* from) {
    check_aligned(from);
    return *reinterpret_cast<const Eight<T>*>(from);
}

// Loads data that the kernel reads only once and never writes, without allocating it in the L1 cache. Not in single
// precision, where two loads share a cache line.
template <typename T> __device__ __forceinline__ Eight<T> stream8(const T* from) {
#ifndef TRANSCRIBE_HOST
    if constexpr (sizeof(T) == 2) {
        Eight<T> eight;
        uint4& word = eight.words[0];
        asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
                     : "=r"(word.x), "=r"(word.y), "=r"(word.z), "=r"(word.w)
                     : "l"(from));
        return eight;
    }
#endif
    return load8(from);
}

template <typename T> __device__ __forceinline__ void store8(T* to, const Eight<T>& eight) {
    check_aligned(to);
    *reinterpret_cast<Eight<T>*>(to) = eight;
}

template <typename T> __device__ __forceinline__ Eight<T> zero8() {
    Eight<T> eight;
    UNROLL
    for (uint4& word : eight.words) word = {0, 0, 0, 0};
    return eight;
}

template <typename T> __device__ __forceinline__ void unpack_word(unsigned word, float& low, float& high) {
    low = widen(of_bits<T>(word & 0xffffu));
    high = widen(of_bits<T>(word >> 16));
}

template <typename T> __device__ __forceinline__ void unpack(const Eight<T>& eight, float (&x)[8]) {
    const uint4& word = eight.words[0];
    unpack_word<T>(word.x, x[0], x[1]);
    unpack_word<T>(word.y, x[2], x[3]);
    unpack_word<T>(word.z, x[4], x[5]);
    unpack_word<T>(word.w, x[6], x[7]);
}
template <> __device__ __forceinline__ void unpack<float>(const Eight<float>& eight, float (&x)[8]) {
    UNROLL
    for (int i = 0; i < 2; ++i) {
        const uint4& word = eight.words[i];
        x[4 * i] = __uint_as_float(word.x);
        x[4 * i + 1] = __uint_as_float(word.y);
        x[4 * i + 2] = __uint_as_float(word.z);
        x[4 * i + 3] = __uint_as_float(word.w);
    }
}

template <typename T> __device__ __forceinline__ Eight<T> pack(const float (&x)[8]) {
    return {{{pair<T>(x[0], x[1]), pair<T>(x[2], x[3]), pair<T>(x[4], x[5]), pair<T>(x[6], x[7])}}};
}
template <> __device__ __forceinline__ Eight<float> pack<float>(const float (&x)[8]) {
    Eight<float> eight;
    UNROLL
    for (int i = 0; i < 2; ++i) {
        eight.words[i] = {__float_as_uint(x[4 * i]), __float_as_uint(x[4 * i + 1]), __float_as_uint(x[4 * i + 2]),
                          __float_as_uint(x[4 * i + 3])};
    }
    return eight;
}

// Returns 2 to the power of x, to 2 units in the last place: one instruction on the device.
__device__ __forceinline__ float power_of_2(float x) {
#ifdef TRANSCRIBE_HOST
    return std::exp2(x);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// Returns 1 / x, with the same accuracy and cost.
__device__ __forceinline__ float reciprocal(float x) {
#ifdef TRANSCRIBE_HOST
    return 1.0f / x;
#else
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

// Exports a kernel for each number format.
#define EACH_TYPE(KERNEL)        \
    KERNEL(float, f32)           \
    KERNEL(__half, f16)          \
    KERNEL(__nv_bfloat16, bf16)
