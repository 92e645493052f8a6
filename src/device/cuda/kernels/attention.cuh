// Attention of many rows: the encoder's, without a mask, and that of the decoder's prompts.
#pragma once

template <typename T>
__device__ __forceinline__ Part<T> part_of(const T* q, int q_stride, const T* keys, const T* values, int entry_stride,
                                           int head_stride, Count slot_stride, T* y, int y_stride, const Tile* tiles,
                                           int rows, int head, float scale) {
    Part<T> part;
    Count first, slot;
    if (tiles) {
        const Tile tile = tiles[blockIdx.x];
        first = tile.first;
        slot = tile.slot;
        part.rows = tile.count;
        part.more = tile.causal != 0;
        part.attended = tile.attended + part.more;
    } else {
        const int row = blockIdx.x * ATTENTION_ROWS;
        first = Count(blockIdx.z) * rows + row;
        slot = blockIdx.z;
        part.rows = min(rows - row, ATTENTION_ROWS);
        part.more = 0;
        part.attended = rows;
    }
    const int h = blockIdx.y;
    const Count entries = slot * slot_stride + Count(h) * head_stride;
    part.q = q + first * q_stride + h * head;
    part.keys = keys + entries;
    part.values = values + entries;
    part.y = y + first * y_stride + h * head;
    part.q_stride = q_stride;
    part.entry_stride = entry_stride;
    part.y_stride = y_stride;
    part.scale = scale * LOG2_E;
    return part;
}

template <typename T>
__device__ __forceinline__ void attend(const Part<T>& part, int head, uint4* buffer) {
    if (head == 64) {
        attend_mma(part, buffer);
    } else {
        attend_simt(part, head, buffer);
    }
}
template <> __device__ __forceinline__ void attend(const Part<float>& part, int head, uint4* buffer) {
    attend_simt(part, head, buffer);
}

// Computes the attention of rows of `q` (head h from column h * head on, rows `q_stride` apart) to entries of a slot (the
// key of head h and entry e at slot * slot_stride + h * head_stride + e * entry_stride; values likewise), into rows of `y`.
//
// Without tiles: windows of `rows` rows each, window w against all `rows` entries of slot w. Grid: rows / 128 rounded
// up, heads, windows. With tiles: see `Tile`. Grid: tiles, heads. Block: 128; a tile has at most 128 rows. All strides
// are multiples of 8, and so is `head`, up to 128.
//
// Lower bound: queries in and rows out once, the keys and values of a slot once for each 128 rows (from the L2 cache), and
// 4 * head operations for each row and entry, on the tensor cores if `head` is 64 and the format has 16 bits; in
// addition, one power of 2 for each row and entry.
#define EXPORT_ATTENTION(T, type)                                                                                  \
    extern "C" __global__ void __launch_bounds__(ATTENTION_WARPS * 32, 2)                                          \
        attention_##type(const T* q, int q_stride, const T* keys, const T* values, int entry_stride,               \
                         int head_stride, unsigned long long slot_stride, T* y, int y_stride, const Tile* tiles,   \
                         int rows, int heads, int head, float scale) {                                             \
        SHARED(uint4, buffer, ATTENTION_WORDS);                                                                    \
        (void)heads;                                                                                               \
        const Part<T> part = part_of(q, q_stride, keys, values, entry_stride, head_stride, slot_stride, y,         \
                                     y_stride, tiles, rows, head, scale);                                          \
        if (part.rows > 0) attend(part, head, static_cast<uint4*>(buffer));                                        \
    }                                                                                                              \
    EXPORT(attention_##type, ATTENTION_WARPS * 32, ATTENTION_WARPS * 32)
EACH_TYPE(EXPORT_ATTENTION)
