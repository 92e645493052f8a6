// Elementwise kernels: GELU and addition, and the two rearrangements before a convolution.
#pragma once

// For 16-bit formats: the complementary error function by formula 7.1.26 of Abramowitz and Stegun. Its error is at most
// 1.5e-7, and it takes half the operations, so that the kernel is bound by memory.
template <typename T> __device__ __forceinline__ float gelu_of(float x) {
    const float size = fabsf(x), t = reciprocal(1.0f + 0.3275911f * 0.70710678f * size);
    float series = 1.061405429f * t - 1.453152027f;
    series = series * t + 1.421413741f;
    series = series * t - 0.284496736f;
    series = series * t + 0.254829592f;
    const float erfc = series * t * power_of_2(-0.5f * LOG2_E * x * x);
    return fmaxf(x, 0.0f) - 0.5f * size * erfc;
}
template <> __device__ __forceinline__ float gelu_of<float>(float x) {
    return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f));
}

__device__ __forceinline__ Count first_thread() { return Count(blockIdx.x) * blockDim.x + threadIdx.x; }
__device__ __forceinline__ Count all_threads() { return Count(gridDim.x) * blockDim.x; }

// Applies the exact GELU in place.
//
// Lower bound: each number in and out, 15 operations per number (25 in single precision). Grid: count / 8 / 256 rounded
// up, or less. Block: 256.
template <typename T> __device__ __forceinline__ void gelu(T* y, Count count) {
    for (Count i = first_thread(); i < count / 8; i += all_threads()) {
        float x[8];
        unpack<T>(load8(y + i * 8), x);
        UNROLL
        for (int j = 0; j < 8; ++j) x[j] = gelu_of<T>(x[j]);
        store8(y + i * 8, pack<T>(x));
    }
    const Count rest = count / 8 * 8 + first_thread();
    if (rest < count) y[rest] = narrow<T>(gelu_of<T>(widen(y[rest])));
}

// Divides in 32 bits where possible: a 64-bit division takes a hundred instructions.
__device__ __forceinline__ Count quotient(Count a, Count b) {
    return (a | b) >> 32 ? a / b : unsigned(a) / unsigned(b);
}
__device__ __forceinline__ Count remainder(Count a, Count b) { return a - quotient(a, b) * b; }

// y[i] += x[i % period].
//
// Lower bound: each number of `y` in and out (and `x`, if it is as large and not cached), 1 addition per number.
// Grid and block as for `gelu`.
template <typename T> __device__ __forceinline__ void add(T* y, const T* x, Count count, Count period) {
    Count done = 0;
    if (period % 8 == 0) {
        done = count / 8 * 8;
        for (Count i = first_thread(); i < count / 8; i += all_threads()) {
            float a[8], b[8];
            unpack<T>(load8(y + i * 8), a);
            unpack<T>(load8(x + remainder(i, period / 8) * 8), b);
            UNROLL
            for (int j = 0; j < 8; ++j) a[j] += b[j];
            store8(y + i * 8, pack<T>(a));
        }
    }
    for (Count i = done + first_thread(); i < count; i += all_threads()) {
        y[i] = narrow<T>(widen(y[i]) + widen(x[remainder(i, period)]));
    }
}

constexpr int TRANSPOSE_TILE = 32;

// Transposes matrices [rows, columns] of f32, one after another, to [columns, rows].
//
// Lower bound: each number in (4 bytes) and out, no arithmetic. Both sides are accessed in whole cache lines through
// shared memory, whose rows are padded by one number so that the numbers of a column are in different banks. Grid: columns / 32, rows / 32 (both rounded up),
// matrices. Block: 256.
template <typename T> __device__ __forceinline__ void transpose(const float* x, T* y, int rows, int columns, float* tile) {
    x += Count(blockIdx.z) * rows * columns;
    y += Count(blockIdx.z) * rows * columns;
    const int lane = threadIdx.x % TRANSPOSE_TILE, line = threadIdx.x / TRANSPOSE_TILE, lines = blockDim.x / TRANSPOSE_TILE;
    const int row = blockIdx.y * TRANSPOSE_TILE, column = blockIdx.x * TRANSPOSE_TILE;
    for (int i = line; i < TRANSPOSE_TILE; i += lines) {
        if (row + i < rows && column + lane < columns) {
            tile[i * (TRANSPOSE_TILE + 1) + lane] = x[Count(row + i) * columns + column + lane];
        }
    }
    __syncthreads();
    for (int i = line; i < TRANSPOSE_TILE; i += lines) {
        if (column + i < columns && row + lane < rows) {
            y[Count(column + i) * rows + row + lane] = narrow<T>(tile[lane * (TRANSPOSE_TILE + 1) + i]);
        }
    }
}

// Lays out the operand of a convolution of three taps with one zero row on either side: row r of a window becomes x[r *
// stride - 1], x[r * stride], x[r * stride + 1] side by side. [windows, rows, width] to [windows, rows / stride, 3 *
// width].
//
// Lower bound: each number in once (the taps after the first are cached) and out 3 / stride times, no arithmetic.
// Grid: (rows / stride) * 3 * width / 8 / 256 rounded up (or less), 1, windows. Block: 256.
template <typename T> __device__ __forceinline__ void im2row(const T* x, T* y, int rows, int width, int stride) {
    const int size = width % 8 == 0 ? 8 : 1;
    const unsigned per_tap = width / size, per_row = 3 * per_tap, out = rows / stride;
    x += Count(blockIdx.z) * rows * width;
    y += Count(blockIdx.z) * out * 3 * width;
    for (Count i = first_thread(); i < Count(out) * per_row; i += all_threads()) {
        const Count row = quotient(i, per_row);
        const unsigned piece = unsigned(i - row * per_row), tap = piece / per_tap;
        const long long source = (long long)(row * stride + tap) - 1;
        const bool inside = source >= 0 && source < rows;
        const T* from = x + (inside ? source : 0) * width + Count(piece - tap * per_tap) * size;
        if (size == 8) {
            store8(y + i * 8, inside ? load8(from) : zero8<T>());
        } else {
            y[i] = inside ? *from : narrow<T>(0.0f);
        }
    }
}

#define EXPORT_POINTWISE(T, type)                                                                                     \
    extern "C" __global__ void __launch_bounds__(256) gelu_##type(T* y, unsigned long long count) {                \
        gelu(y, count);                                                                                            \
    }                                                                                                              \
    EXPORT(gelu_##type, 32, 256)                                                                                   \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        add_##type(T* y, const T* x, unsigned long long count, unsigned long long period) {                        \
        add(y, x, count, period);                                                                                  \
    }                                                                                                              \
    EXPORT(add_##type, 32, 256)                                                                                    \
    extern "C" __global__ void __launch_bounds__(256) transpose_##type(const float* x, T* y, int rows, int columns) {   \
        SHARED(float, tile, TRANSPOSE_TILE*(TRANSPOSE_TILE + 1));                                                                      \
        transpose(x, y, rows, columns, tile);                                                                           \
    }                                                                                                              \
    EXPORT(transpose_##type, 32, 256)                                                                                   \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        im2row_##type(const T* x, T* y, int rows, int width, int stride) {                                           \
        im2row(x, y, rows, width, stride);                                                                           \
    }                                                                                                              \
    EXPORT(im2row_##type, 32, 256)
EACH_TYPE(EXPORT_POINTWISE)
