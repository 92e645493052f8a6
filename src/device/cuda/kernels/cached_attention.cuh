// Attention of single rows to long caches: the kernel that a decoder step spends most of its time in.
#pragma once

constexpr int CACHED_WARPS = 4;
// Entries that a group of lanes has under way at a time: that many keys and values are asked for before the first is
// used.
template <typename T> constexpr int UNDER_WAY = sizeof(T) == 2 ? 4 : 2;
// Stands for the largest score of no entries at all; unlike infinity it can be subtracted from itself.
constexpr float NO_SCORE = -1e30f;

// What a group of lanes knows of the entries that it has seen: the largest score (as a power of 2), the sum of all
// powers over it, and 8 numbers for each lane of the values, weighted by them.
struct Seen {
    float max, sum, heard[8];
};

__device__ __forceinline__ void rescale(Seen& seen, float max) {
    const float factor = power_of_2(seen.max - max);
    seen.max = max;
    seen.sum *= factor;
    UNROLL
    for (int j = 0; j < 8; ++j) seen.heard[j] *= factor;
}

// Entries begin..end of one head. LANES lanes, with 8 numbers each, share an entry; the groups of the block take
// neighbouring entries, so that each load of the block is one piece of memory.
template <int LANES, typename T>
__device__ __forceinline__ Seen see(const T* keys, const T* values, const float (&query)[8], int begin, int end,
                                    int head) {
    constexpr int BATCH = UNDER_WAY<T>, GROUPS = CACHED_WARPS * 32 / LANES;
    const int group = threadIdx.x / LANES, column = threadIdx.x % LANES * 8;
    const bool mine = column < head;
    Seen seen = {NO_SCORE, 0.0f, {0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f, 0.0f}};
    for (int first = begin; first < end; first += BATCH * GROUPS) {
        Eight<T> key[BATCH], value[BATCH];
        float score[BATCH], max = seen.max;
        UNROLL
        for (int b = 0; b < BATCH; ++b) {
            const int entry = first + b * GROUPS + group;
            const Count at = Count(entry) * head + column;
            key[b] = zero8<T>();
            if (mine && entry < end) key[b] = stream8(keys + at);
        }
        UNROLL
        for (int b = 0; b < BATCH; ++b) {
            const int entry = first + b * GROUPS + group;
            const Count at = Count(entry) * head + column;
            value[b] = zero8<T>();
            if (mine && entry < end) value[b] = stream8(values + at);
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
        rescale(seen, max);
        UNROLL
        for (int b = 0; b < BATCH; ++b) {
            float v[8];
            unpack<T>(value[b], v);
            const float power = power_of_2(score[b] - max);
            seen.sum += power;
            UNROLL
            for (int j = 0; j < 8; ++j) seen.heard[j] += power * v[j];
        }
    }
    return seen;
}

// Joins what the groups of a warp have seen: afterwards all of them know it all.
template <int LANES> __device__ __forceinline__ void join_groups(Seen& seen) {
    float max = seen.max;
    UNROLL
    for (int other = LANES; other < 32; other *= 2) max = fmaxf(max, __shfl_xor_sync(ALL_LANES, max, other));
    rescale(seen, max);
    UNROLL
    for (int other = LANES; other < 32; other *= 2) {
        seen.sum += __shfl_xor_sync(ALL_LANES, seen.sum, other);
        UNROLL
        for (int j = 0; j < 8; ++j) seen.heard[j] += __shfl_xor_sync(ALL_LANES, seen.heard[j], other);
    }
}

// For each warp: the largest score, the sum, and `head` numbers.
constexpr int SEEN_NUMBERS = MOST_HEAD + 2;

template <int LANES, typename T>
__device__ __forceinline__ void see_and_tell(const T* q, const T* keys, const T* values, int begin, int end, int head,
                                             float scale, float* scratch) {
    const int column = threadIdx.x % LANES * 8;
    float query[8] = {};
    if (column < head) unpack<T>(load8(q + column), query);
    UNROLL
    for (int j = 0; j < 8; ++j) query[j] *= scale;
    Seen seen = see<LANES, T>(keys, values, query, begin, end, head);
    join_groups<LANES>(seen);
    float* told = scratch + threadIdx.x / 32 * SEEN_NUMBERS;
    if (threadIdx.x % 32 == 0) {
        told[0] = seen.max;
        told[1] = seen.sum;
    }
    if (threadIdx.x % 32 < LANES && column < head) {
        UNROLL
        for (int j = 0; j < 8; ++j) told[2 + column + j] = seen.heard[j];
    }
}

// Attention of rows to a cache [slots, heads, len, head]. If `own`, row r sees entries 0..=position of the slot of its
// sequence; otherwise the first `audio_len` of the slot of its window. With one split, the result goes to y[r]
// ([heads, head]); with several, each takes a range of the entries and leaves (largest score, sum, head numbers) in
// partial[r, head, split] for `cached_join`. An idle row gets zeros (here, or there).
//
// At least: each visible key and value in once (rows that share a slot share them only by way of a cache), 4
// operations per number of them; the loads are what it waits for. Grid: heads, rows, splits. Block: 128. `head` is a
// multiple of 8 up to 128, and so is `q_stride` (without that limit).
template <typename T>
__device__ __forceinline__ void cached(const T* q, int q_stride, const T* keys, const T* values, const Row* rows,
                                       int own, int audio_len, T* y, float* partial, int heads, int head, int len,
                                       float scale, int splits, float* scratch) {
    const int h = blockIdx.x, r = blockIdx.y, split = blockIdx.z, d = threadIdx.x;
    const Row row = rows[r];
    y += (Count(r) * heads + h) * head;
    if (row.sequence == NONE) {
        if (splits == 1 && d < head) y[d] = narrow<T>(0.0f);
        return;
    }
    const int seen = own ? int(row.position) + 1 : audio_len, share = (seen + splits - 1) / splits;
    const int begin = min(split * share, seen), end = min(begin + share, seen);
    const Count slot = (Count(own ? row.sequence : row.window) * heads + h) * len * head;
    q += Count(r) * q_stride + h * head;
    keys += slot;
    values += slot;
    if (head <= 32) {
        see_and_tell<4>(q, keys, values, begin, end, head, scale * LOG2_E, scratch);
    } else if (head <= 64) {
        see_and_tell<8>(q, keys, values, begin, end, head, scale * LOG2_E, scratch);
    } else {
        see_and_tell<16>(q, keys, values, begin, end, head, scale * LOG2_E, scratch);
    }
    __syncthreads();
    float max = NO_SCORE, sum = 0.0f, heard = 0.0f;
    UNROLL
    for (int warp = 0; warp < CACHED_WARPS; ++warp) max = fmaxf(max, scratch[warp * SEEN_NUMBERS]);
    UNROLL
    for (int warp = 0; warp < CACHED_WARPS; ++warp) {
        const float* told = scratch + warp * SEEN_NUMBERS;
        const float factor = power_of_2(told[0] - max);
        sum += told[1] * factor;
        if (d < head) heard += told[2 + d] * factor;
    }
    if (splits == 1) {
        if (d < head) y[d] = narrow<T>(sum == 0.0f ? 0.0f : heard / sum);
        return;
    }
    partial += ((Count(r) * heads + h) * splits + split) * (head + 2);
    if (d == 0) {
        partial[0] = max;
        partial[1] = sum;
    }
    if (d < head) partial[2 + d] = heard;
}

// Joins the splits of `cached`: partial[rows, heads, splits, 2 + head] to y[rows, heads, head].
//
// At least: the partial results in and the rows out, 3 operations per number. Grid: heads, rows. Block: 128.
template <typename T>
__device__ __forceinline__ void cached_join(const float* partial, T* y, const Row* rows, int heads, int head,
                                            int splits) {
    const int h = blockIdx.x, r = blockIdx.y;
    const int told = rows[r].sequence == NONE ? 0 : splits, step = head + 2;
    partial += (Count(r) * heads + h) * splits * step;
    y += (Count(r) * heads + h) * head;
    float max = NO_SCORE;
    for (int s = 0; s < told; ++s) max = fmaxf(max, partial[s * step]);
    for (int d = threadIdx.x; d < head; d += blockDim.x) {
        float sum = 0.0f, heard = 0.0f;
        for (int s = 0; s < told; ++s) {
            const float factor = power_of_2(partial[s * step] - max);
            sum += partial[s * step + 1] * factor;
            heard += partial[s * step + 2 + d] * factor;
        }
        y[d] = narrow<T>(sum == 0.0f ? 0.0f : heard / sum);
    }
}

#define EXPORT_CACHED(T, type)                                                                                     \
    extern "C" __global__ void __launch_bounds__(CACHED_WARPS * 32, 6)                                             \
        cached_##type(const T* q, int q_stride, const T* keys, const T* values, const Row* rows, int own,          \
                      int audio_len, T* y, float* partial, int heads, int head, int len, float scale,              \
                      int splits) {                                                                                \
        SHARED(float, scratch, CACHED_WARPS * SEEN_NUMBERS);                                                       \
        cached(q, q_stride, keys, values, rows, own, audio_len, y, partial, heads, head, len, scale, splits,       \
               scratch);                                                                                           \
    }                                                                                                              \
    EXPORT(cached_##type, 128, 128)                                                                                \
    extern "C" __global__ void __launch_bounds__(128)                                                              \
        cached_join_##type(const float* partial, T* y, const Row* rows, int own, int heads, int head,              \
                           int splits) {                                                                           \
        (void)own;                                                                                                 \
        cached_join(partial, y, rows, heads, head, splits);                                                        \
    }                                                                                                              \
    EXPORT(cached_join_##type, 32, 128)
EACH_TYPE(EXPORT_CACHED)
