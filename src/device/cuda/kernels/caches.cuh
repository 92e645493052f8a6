// Kernels for the key and value caches [slots, heads, len, head]: storing, copying, and attention weights.
#pragma once

// Stores keys and values, [heads, head] each, side by side in row r of `x` (of `stride` numbers) from `column` on, at the
// slot and the entry of rows[r].
//
// Lower bound: each key and value in and out, no arithmetic. Grid: count. Block: 128.
template <typename T>
__device__ __forceinline__ void store(const T* x, T* keys, T* values, const Row* rows, int count, int stride,
                                      int column, int heads, int head, int len) {
    const int r = blockIdx.x;
    if (r >= count || rows[r].sequence == NONE) return;
    const int width = heads * head;
    x += Count(r) * stride + column;
    const Count slot = Count(rows[r].sequence) * heads * len, entry = rows[r].position;
    if (head % 8 == 0 && stride % 8 == 0 && column % 8 == 0) {
        for (int i = threadIdx.x * 8; i < 2 * width; i += blockDim.x * 8) {
            const int at = i < width ? i : i - width, h = at / head;
            T* cache = i < width ? keys : values;
            store8(cache + (slot + Count(h) * len + entry) * head + (at - h * head), load8(x + i));
        }
    } else {
        for (int i = threadIdx.x; i < 2 * width; i += blockDim.x) {
            const int at = i < width ? i : i - width, h = at / head;
            T* cache = i < width ? keys : values;
            cache[(slot + Count(h) * len + entry) * head + (at - h * head)] = x[i];
        }
    }
}

// Copies entries first..first + count of slot `from` to the same positions of slot `to`, for all heads.
//
// Lower bound: each entry in and out, no arithmetic. Grid: count * head / 8 / 128 rounded up (or less), heads. Block:
// 128.
template <typename T>
__device__ __forceinline__ void copy_entries(T* cache, int from, int to, int first, int count, int heads, int len, int head) {
    const T* source = cache + ((Count(from) * heads + blockIdx.y) * len + first) * head;
    T* target = cache + ((Count(to) * heads + blockIdx.y) * len + first) * head;
    const Count numbers = Count(count) * head;
    if (head % 8 == 0) {
        for (Count i = first_thread(); i < numbers / 8; i += all_threads()) {
            store8(target + i * 8, load8(source + i * 8));
        }
    } else {
        for (Count i = first_thread(); i < numbers; i += all_threads()) target[i] = source[i];
    }
}

constexpr int MAX_HEAD = 128;
constexpr int WEIGHTS_WARPS = 8;

// y[c, r, e]: the attention weight of row r of `q` for entry e of the first `attended` ones of a slot and head
// selected[c], the softmax of the scaled products; each row sums to 1.
//
// Lower bound: `attended` keys in and weights out per row and head, 2 * head + 6 operations per entry. A thread processes
// whole entries and reads back only the numbers of `y` that it wrote. Grid: rows, selected heads. Block: 128.
template <typename T>
__device__ __forceinline__ void attention_weights(const T* q, int q_stride, const T* keys, const unsigned* selected, float* y,
                                        int rows, int slot, int attended, int heads, int head, int len, float scale,
                                        float* query, float* scratch) {
    const int r = blockIdx.x, c = blockIdx.y, h = selected[c];
    q += Count(r) * q_stride + h * head;
    keys += (Count(slot) * heads + h) * len * head;
    y += (Count(c) * rows + r) * attended;
    for (int d = threadIdx.x; d < head; d += blockDim.x) query[d] = widen(q[d]) * scale;
    __syncthreads();
    float max = -INFINITY, sum = 0.0f;
    for (int e = threadIdx.x; e < attended; e += blockDim.x) {
        const T* key = keys + Count(e) * head;
        float score = 0.0f;
        if (head % 8 == 0) {
            for (int d = 0; d < head; d += 8) {
                float k[8];
                unpack<T>(load8(key + d), k);
                UNROLL
                for (int j = 0; j < 8; ++j) score += query[d + j] * k[j];
            }
        } else {
            for (int d = 0; d < head; ++d) score += query[d] * widen(key[d]);
        }
        y[e] = score;
        max = fmaxf(max, score);
    }
    max = block_max(max, scratch);
    for (int e = threadIdx.x; e < attended; e += blockDim.x) {
        const float power = expf(y[e] - max);
        y[e] = power;
        sum += power;
    }
    const float share = 1.0f / block_sum(sum, scratch + WEIGHTS_WARPS);
    for (int e = threadIdx.x; e < attended; e += blockDim.x) y[e] *= share;
}

#define EXPORT_CACHES(T, type)                                                                                     \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        store_##type(const T* x, T* keys, T* values, const Row* rows, int count, int stride, int column,           \
                     int heads, int head, int len) {                                                               \
        store(x, keys, values, rows, count, stride, column, heads, head, len);                                     \
    }                                                                                                              \
    EXPORT(store_##type, 32, 256)                                                                                  \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        copy_entries_##type(T* cache, int from, int to, int first, int count, int heads, int len, int head) {              \
        copy_entries(cache, from, to, first, count, heads, len, head);                                                     \
    }                                                                                                              \
    EXPORT(copy_entries_##type, 32, 256)                                                                                   \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        attention_weights_##type(const T* q, int q_stride, const T* keys, const unsigned* selected, float* y, int rows,  \
                       int slot, int attended, int heads, int head, int len, float scale) {                            \
        SHARED(float, query, MAX_HEAD);                                                                            \
        SHARED(float, scratch, 2 * WEIGHTS_WARPS);                                                                 \
        attention_weights(q, q_stride, keys, selected, y, rows, slot, attended, heads, head, len, scale, query, scratch);    \
    }                                                                                                              \
    EXPORT(attention_weights_##type, 32, 256)
EACH_TYPE(EXPORT_CACHES)
