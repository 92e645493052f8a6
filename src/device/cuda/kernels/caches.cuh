// Caches of keys and values [slots, heads, len, head]: writing, copying, and how rows weigh the entries.
#pragma once

// Keys and values, side by side in row r of `x` (of `stride` numbers) from `column` on, into the caches at the slot
// and entry of rows[r]: [heads, head] each.
//
// At least: each key and value in and out, no arithmetic. Grid: count. Block: 128.
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

// Entries first..first + count of slot `from` to the same places of slot `to`, for all heads.
//
// At least: each entry in and out, no arithmetic. Grid: count * head / 8 / 128 rounded up (or less), heads. Block:
// 128.
template <typename T>
__device__ __forceinline__ void copy(T* cache, int from, int to, int first, int count, int heads, int len, int head) {
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

constexpr int MOST_HEAD = 128;
constexpr int WEIGHTS_WARPS = 8;

// y[c, r, e]: how row r of `q` weighs the first `seen` entries of a slot for head heads_chosen[c], the softmax of the
// scaled products; each row sums to 1.
//
// At least: `seen` keys in and weights out per row and head, 2 * head + 6 operations per entry. A thread has whole
// entries to itself and meets only its own numbers of `y` again. Grid: rows, chosen heads. Block: 128.
template <typename T>
__device__ __forceinline__ void weights(const T* q, int q_stride, const T* keys, const unsigned* heads_chosen, float* y,
                                        int rows, int slot, int seen, int heads, int head, int len, float scale,
                                        float* query, float* scratch) {
    const int r = blockIdx.x, c = blockIdx.y, h = heads_chosen[c];
    q += Count(r) * q_stride + h * head;
    keys += (Count(slot) * heads + h) * len * head;
    y += (Count(c) * rows + r) * seen;
    for (int d = threadIdx.x; d < head; d += blockDim.x) query[d] = widen(q[d]) * scale;
    __syncthreads();
    float max = -INFINITY, sum = 0.0f;
    for (int e = threadIdx.x; e < seen; e += blockDim.x) {
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
    for (int e = threadIdx.x; e < seen; e += blockDim.x) {
        const float power = expf(y[e] - max);
        y[e] = power;
        sum += power;
    }
    const float share = 1.0f / block_sum(sum, scratch + WEIGHTS_WARPS);
    for (int e = threadIdx.x; e < seen; e += blockDim.x) y[e] *= share;
}

#define EXPORT_CACHES(T, type)                                                                                     \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        store_##type(const T* x, T* keys, T* values, const Row* rows, int count, int stride, int column,           \
                     int heads, int head, int len) {                                                               \
        store(x, keys, values, rows, count, stride, column, heads, head, len);                                     \
    }                                                                                                              \
    EXPORT(store_##type, 32, 256)                                                                                  \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        copy_##type(T* cache, int from, int to, int first, int count, int heads, int len, int head) {              \
        copy(cache, from, to, first, count, heads, len, head);                                                     \
    }                                                                                                              \
    EXPORT(copy_##type, 32, 256)                                                                                   \
    extern "C" __global__ void __launch_bounds__(256)                                                              \
        weights_##type(const T* q, int q_stride, const T* keys, const unsigned* heads_chosen, float* y, int rows,  \
                       int slot, int seen, int heads, int head, int len, float scale) {                            \
        SHARED(float, query, MOST_HEAD);                                                                           \
        SHARED(float, scratch, 2 * WEIGHTS_WARPS);                                                                 \
        weights(q, q_stride, keys, heads_chosen, y, rows, slot, seen, heads, head, len, scale, query, scratch);    \
    }                                                                                                              \
    EXPORT(weights_##type, 32, 256)
EACH_TYPE(EXPORT_CACHES)
