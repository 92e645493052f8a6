// Kernels for whole rows: embedding, gathering, layer normalization.
#pragma once

// y[r] = table[token] + positions[position], zeros for an idle row.
//
// Lower bound: 3 rows of numbers in and out per row, 1 addition per number. Grid: rows. Block: 128.
template <typename T>
__device__ __forceinline__ void embed(const T* table, const T* positions, const Row* rows, T* y, int width) {
    const Row row = rows[blockIdx.x];
    const bool idle = row.sequence == NONE;
    const T* from = table + Count(idle ? 0 : row.token) * width;
    const T* offset = positions + Count(idle ? 0 : row.position) * width;
    y += Count(blockIdx.x) * width;
    if (width % 8 == 0) {
        for (int i = threadIdx.x * 8; i < width; i += blockDim.x * 8) {
            float a[8] = {}, b[8] = {};
            if (!idle) {
                unpack<T>(load8(from + i), a);
                unpack<T>(load8(offset + i), b);
            }
            UNROLL
            for (int j = 0; j < 8; ++j) a[j] += b[j];
            store8(y + i, pack<T>(a));
        }
    } else {
        for (int i = threadIdx.x; i < width; i += blockDim.x) {
            y[i] = narrow<T>(idle ? 0.0f : widen(from[i]) + widen(offset[i]));
        }
    }
}

// y[r] = x[indices[r]].
//
// Lower bound: each gathered row in and out, no arithmetic. Grid: indices. Block: 128.
template <typename T>
__device__ __forceinline__ void gather(const T* x, const unsigned* indices, T* y, int width) {
    x += Count(indices[blockIdx.x]) * width;
    y += Count(blockIdx.x) * width;
    if (width % 8 == 0) {
        for (int i = threadIdx.x * 8; i < width; i += blockDim.x * 8) store8(y + i, load8(x + i));
    } else {
        for (int i = threadIdx.x; i < width; i += blockDim.x) y[i] = x[i];
    }
}

// Groups of 8 numbers of a row that a thread keeps in registers. Rows of up to 3 x 8 x 256 numbers are read once.
constexpr int NORM_GROUPS = 3;
constexpr int NORM_WARPS = 8;

// y = (x - mean) / sqrt(variance + epsilon) * weight + bias over each row; `y` may be `x`.
//
// Lower bound: each row in and out once (weight and bias are cached), 8 operations per number. The mean is computed
// before the deviations from it are summed, to avoid cancellation. Grid: rows. Block: width / 8 rounded up to whole
// warps, at most 256.
template <typename T>
__device__ __forceinline__ void layer_norm(const T* x, const T* weight, const T* bias, T* y, int width, float epsilon,
                                           float* sums, float* squares) {
    x += Count(blockIdx.x) * width;
    y += Count(blockIdx.x) * width;
    const int step = blockDim.x * 8, first = threadIdx.x * 8;
    if (width % 8 == 0 && width <= NORM_GROUPS * step) {
        float kept[NORM_GROUPS][8];
        float sum = 0.0f;
        UNROLL
        for (int g = 0; g < NORM_GROUPS; ++g) {
            const int i = first + g * step;
            if (i >= width) continue;
            unpack<T>(load8(x + i), kept[g]);
            UNROLL
            for (int j = 0; j < 8; ++j) sum += kept[g][j];
        }
        const float mean = block_sum(sum, sums) / width;
        float square = 0.0f;
        UNROLL
        for (int g = 0; g < NORM_GROUPS; ++g) {
            if (first + g * step >= width) continue;
            UNROLL
            for (int j = 0; j < 8; ++j) square += (kept[g][j] - mean) * (kept[g][j] - mean);
        }
        const float scale = 1.0f / sqrtf(block_sum(square, squares) / width + epsilon);
        UNROLL
        for (int g = 0; g < NORM_GROUPS; ++g) {
            const int i = first + g * step;
            if (i >= width) continue;
            float w[8], b[8];
            unpack<T>(load8(weight + i), w);
            unpack<T>(load8(bias + i), b);
            UNROLL
            for (int j = 0; j < 8; ++j) w[j] = (kept[g][j] - mean) * scale * w[j] + b[j];
            store8(y + i, pack<T>(w));
        }
        return;
    }
    // Any other width: each thread reads its own numbers three times.
    float sum = 0.0f, square = 0.0f;
    for (int i = threadIdx.x; i < width; i += blockDim.x) sum += widen(x[i]);
    const float mean = block_sum(sum, sums) / width;
    for (int i = threadIdx.x; i < width; i += blockDim.x) square += (widen(x[i]) - mean) * (widen(x[i]) - mean);
    const float scale = 1.0f / sqrtf(block_sum(square, squares) / width + epsilon);
    for (int i = threadIdx.x; i < width; i += blockDim.x) {
        y[i] = narrow<T>((widen(x[i]) - mean) * scale * widen(weight[i]) + widen(bias[i]));
    }
}

#define EXPORT_ROWS(T, type)                                                                                       \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        embed_##type(const T* table, const T* positions, const Row* rows, T* y, int width) {                       \
        embed(table, positions, rows, y, width);                                                                   \
    }                                                                                                              \
    EXPORT(embed_##type, 32, 256)                                                                                  \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        gather_##type(const T* x, const unsigned* indices, T* y, int width) {                                         \
        gather(x, indices, y, width);                                                                                 \
    }                                                                                                              \
    EXPORT(gather_##type, 32, 256)                                                                                   \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        layer_norm_##type(const T* x, const T* weight, const T* bias, T* y, int width, float epsilon) {            \
        SHARED(float, sums, NORM_WARPS);                                                                           \
        SHARED(float, squares, NORM_WARPS);                                                                        \
        layer_norm(x, weight, bias, y, width, epsilon, sums, squares);                                             \
    }                                                                                                              \
    EXPORT(layer_norm_##type, 32, 256)
EACH_TYPE(EXPORT_ROWS)
