// Attention of single rows to long caches: the kernel that a decoder step spends most of its time in.
#pragma once

constexpr int CACHED_WARPS = 4;
// Entries that a group of lanes loads at a time: this many keys and values are requested before the first is used.
template <typename T> constexpr int IN_FLIGHT = sizeof(T) == 2 ? 4 : 2;
// The largest score of no entries at all. Unlike infinity, it can be subtracted from itself.
constexpr float NO_SCORE = -1e30f;

// The online softmax of a group of lanes: the largest score (as a power of 2), the sum of all powers relative to it, and
// the sum of the values weighted by them, 8 numbers for each lane.
struct Accumulator {
    float max, sum, values[8];
};

__device__ __forceinline__ void rescale(Accumulator& total, float max) {
    const float factor = power_of_2(total.max - max);
    total.max = max;
    total.sum *= factor;
    UNROLL
    for (int j = 0; j < 8; ++j) total.values[j] *= factor;
}

// Attends to entries begin..end of one head. LANES lanes, with 8 numbers each, share an entry; the groups of the block
// take neighbouring entries, so that each load of the block is contiguous.
template <int LANES, typename T>
__device__ __forceinline__ Accumulator attend_entries(const T* keys, const T* values, const float (&query)[8],
                                                      int begin, int end, int head) {
    constexpr int BATCH = IN_FLIGHT<T>, GROUPS = CACHED_WARPS * 32 / LANES;
    const int group = threadIdx.x / LANES, column = threadIdx.x % LANES * 8;
    const bool in_head = column < head;
    Accumulator total = {NO_SCORE, 0.0f, {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}};
    for (int first = begin; first < end; first += BATCH * GROUPS) {
        Eight<T> key[BATCH], value[BATCH];
        float score[BATCH], max = total.max;
        UNROLL
        for (int b = 0; b < BATCH; ++b) {
            const int entry = first + b * GROUPS + group;
            const Count at = Count(entry) * head + column;
            key[b] = zero8<T>();
            if (in_head && entry < end) key[b] = stream8(keys + at);
        }
        UNROLL
        for (int b = 0; b < BATCH; ++b) {
            const int entry = first + b * GROUPS + group;
            const Count at = Count(entry) * head + column;
            value[b] = zero8<T>();
            if (in_head && entry < end) value[b] = stream8(values + at);
        }
        UNROLL
        for (int b = 0; b < BATCH; ++b) {
            float k[8];
            unpack<T>(key[b], k);
            float product = 0.0f;
            UNROLL
            for (int j = 0; j < 8; ++j) product += query[j] * k[j];
            product = lanes_sum<LANES>(product);
            score[b] = first + b * GROUPS + group < end ? product : -INFINITY;
            max = fmaxf(max, score[b]);
        }
        rescale(total, max);
        UNROLL
        for (int b = 0; b < BATCH; ++b) {
            float v[8];
            unpack<T>(value[b], v);
            const float power = power_of_2(score[b] - max);
            total.sum += power;
            UNROLL
            for (int j = 0; j < 8; ++j) total.values[j] += power * v[j];
        }
    }
    return total;
}

// Merges the accumulators of the groups of a warp, in all of them.
template <int LANES> __device__ __forceinline__ void merge_groups(Accumulator& total) {
    float max = total.max;
    UNROLL
    for (int other = LANES; other < 32; other *= 2) max = fmaxf(max, __shfl_xor_sync(ALL_LANES, max, other));
    rescale(total, max);
    UNROLL
    for (int other = LANES; other < 32; other *= 2) {
        total.sum += __shfl_xor_sync(ALL_LANES, total.sum, other);
        UNROLL
        for (int j = 0; j < 8; ++j) total.values[j] += __shfl_xor_sync(ALL_LANES, total.values[j], other);
    }
}

// Shared memory of a warp's accumulator: the largest score, the sum, and `head` numbers.
constexpr int WARP_NUMBERS = MAX_HEAD + 2;

template <int LANES, typename T>
__device__ __forceinline__ void attend_by_warp(const T* q, const T* keys, const T* values, int begin, int end, int head,
                                               float scale, float* scratch) {
    const int column = threadIdx.x % LANES * 8;
    float query[8] = {};
    if (column < head) unpack<T>(load8(q + column), query);
    UNROLL
    for (int j = 0; j < 8; ++j) query[j] *= scale;
    Accumulator total = attend_entries<LANES, T>(keys, values, query, begin, end, head);
    merge_groups<LANES>(total);
    float* out = scratch + threadIdx.x / 32 * WARP_NUMBERS;
    if (threadIdx.x % 32 == 0) {
        out[0] = total.max;
        out[1] = total.sum;
    }
    if (threadIdx.x % 32 < LANES && column < head) {
        UNROLL
        for (int j = 0; j < 8; ++j) out[2 + column + j] = total.values[j];
    }
}

// Computes the attention of rows to a cache [slots, heads, len, head]. If `to_text`, row r attends to entries
// 0..=position of the slot of its sequence, otherwise to the first `audio_len` of the slot of its window. With one split,
// the result goes to y[r] ([heads, head]); with several, each takes a range of the entries and writes (largest score,
// sum, head numbers) to partial[r, head, split] for `merge_splits`. The result of an idle row is zero.
//
// Lower bound: each attended key and value in once (rows with the same slot share them only through the cache), 4
// operations per number of them; the kernel is bound by the loads. Grid: heads, rows, splits. Block: 128. `head` is a
// multiple of 8 up to 128, and so is `q_stride` (without that limit).
template <typename T>
__device__ __forceinline__ void cached_attention(const T* q, int q_stride, const T* keys, const T* values, const Row* rows,
                                       int to_text, int audio_len, T* y, float* partial, int heads, int head, int len,
                                       float scale, int splits, float* scratch) {
    const int h = blockIdx.x, r = blockIdx.y, split = blockIdx.z, d = threadIdx.x;
    const Row row = rows[r];
    y += (Count(r) * heads + h) * head;
    if (row.sequence == NONE) {
        if (splits == 1 && d < head) y[d] = narrow<T>(0.0f);
        return;
    }
    const int attended = to_text ? int(row.position) + 1 : audio_len, share = (attended + splits - 1) / splits;
    const int begin = min(split * share, attended), end = min(begin + share, attended);
    const Count slot = (Count(to_text ? row.sequence : row.window) * heads + h) * len * head;
    q += Count(r) * q_stride + h * head;
    keys += slot;
    values += slot;
    if (head <= 32) {
        attend_by_warp<4>(q, keys, values, begin, end, head, scale * LOG2_E, scratch);
    } else if (head <= 64) {
        attend_by_warp<8>(q, keys, values, begin, end, head, scale * LOG2_E, scratch);
    } else {
        attend_by_warp<16>(q, keys, values, begin, end, head, scale * LOG2_E, scratch);
    }
    __syncthreads();
    float max = NO_SCORE, sum = 0.0f, value = 0.0f;
    UNROLL
    for (int warp = 0; warp < CACHED_WARPS; ++warp) max = fmaxf(max, scratch[warp * WARP_NUMBERS]);
    UNROLL
    for (int warp = 0; warp < CACHED_WARPS; ++warp) {
        const float* of_warp = scratch + warp * WARP_NUMBERS;
        const float factor = power_of_2(of_warp[0] - max);
        sum += of_warp[1] * factor;
        if (d < head) value += of_warp[2 + d] * factor;
    }
    if (splits == 1) {
        if (d < head) y[d] = narrow<T>(sum == 0.0f ? 0.0f : value / sum);
        return;
    }
    partial += ((Count(r) * heads + h) * splits + split) * (head + 2);
    if (d == 0) {
        partial[0] = max;
        partial[1] = sum;
    }
    if (d < head) partial[2 + d] = value;
}

// Merges the splits of `cached_attention`: partial[rows, heads, splits, 2 + head] to y[rows, heads, head].
//
// Lower bound: the partial results in and the rows out, 3 operations per number. Grid: heads, rows. Block: 128.
template <typename T>
__device__ __forceinline__ void merge_splits(const float* partial, T* y, const Row* rows, int heads, int head,
                                            int splits) {
    const int h = blockIdx.x, r = blockIdx.y;
    const int valid = rows[r].sequence == NONE ? 0 : splits, step = head + 2;
    partial += (Count(r) * heads + h) * splits * step;
    y += (Count(r) * heads + h) * head;
    float max = NO_SCORE;
    for (int s = 0; s < valid; ++s) max = fmaxf(max, partial[s * step]);
    for (int d = threadIdx.x; d < head; d += blockDim.x) {
        float sum = 0.0f, value = 0.0f;
        for (int s = 0; s < valid; ++s) {
            const float factor = power_of_2(partial[s * step] - max);
            sum += partial[s * step + 1] * factor;
            value += partial[s * step + 2 + d] * factor;
        }
        y[d] = narrow<T>(sum == 0.0f ? 0.0f : value / sum);
    }
}

#define EXPORT_CACHED(T, type)                                                                                     \
    extern "C" __global__ void __launch_bounds__(CACHED_WARPS * 32, 6)                                             \
        cached_attention_##type(const T* q, int q_stride, const T* keys, const T* values, const Row* rows, int to_text,          \
                      int audio_len, T* y, float* partial, int heads, int head, int len, float scale,              \
                      int splits) {                                                                                \
        SHARED(float, scratch, CACHED_WARPS * WARP_NUMBERS);                                                       \
        cached_attention(q, q_stride, keys, values, rows, to_text, audio_len, y, partial, heads, head, len, scale, splits,       \
               scratch);                                                                                           \
    }                                                                                                              \
    EXPORT(cached_attention_##type, 128, 128)                                                                                \
    extern "C" __global__ void __launch_bounds__(128)                                                              \
        merge_splits_##type(const float* partial, T* y, const Row* rows, int to_text, int heads, int head,              \
                           int splits) {                                                                           \
        (void)to_text;                                                                                                 \
        merge_splits(partial, y, rows, heads, head, splits);                                                        \
    }                                                                                                              \
    EXPORT(merge_splits_##type, 32, 128)
EACH_TYPE(EXPORT_CACHED)
