// The instructions of `mma.cuh` for the host, with the same layouts.
#pragma once

namespace shim {

void start_copy(void* to, const void* from, size_t bytes, bool exist, int line);
void end_group();
void finish_groups(int still_open);

inline void load_matrices(unsigned (&to)[4], const void* row, bool transposed, int line) {
    check_shared(row, 16, line);
    if (reinterpret_cast<uintptr_t>(row) % 16) fail("a row of a matrix is not aligned", line);
    auto all = [](const unsigned char (*operands)[32], unsigned char (*results)[32]) {
        for (int matrix = 0; matrix < 4; ++matrix) {
            const uint16_t* rows[8];
            for (int r = 0; r < 8; ++r) memcpy(&rows[r], operands[matrix * 8 + r], sizeof rows[r]);
            for (int lane = 0; lane < 32; ++lane) {
                int g = lane / 4, t = lane % 4;
                uint16_t two[2] = {rows[g][2 * t], rows[g][2 * t + 1]};
                memcpy(results[lane] + matrix * 4, two, 4);
            }
        }
    };
    auto all_transposed = [](const unsigned char (*operands)[32], unsigned char (*results)[32]) {
        for (int matrix = 0; matrix < 4; ++matrix) {
            const uint16_t* rows[8];
            for (int r = 0; r < 8; ++r) memcpy(&rows[r], operands[matrix * 8 + r], sizeof rows[r]);
            for (int lane = 0; lane < 32; ++lane) {
                int g = lane / 4, t = lane % 4;
                uint16_t two[2] = {rows[2 * t][g], rows[2 * t + 1][g]};
                memcpy(results[lane] + matrix * 4, two, 4);
            }
        }
    };
    meet("ldmatrix", line, &row, sizeof row, transposed ? Meeting(all_transposed) : Meeting(all), to, sizeof to);
}

template <typename T>
void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, int line) {
    // Each lane contributes six words of a and b, and keeps its part of c.
    unsigned words[6] = {a[0], a[1], a[2], a[3], b0, b1};
    float products[4];
    meet("mma", line, words, sizeof words,
         [](const unsigned char (*operands)[32], unsigned char (*results)[32]) {
             float a[16][16], b[16][8];
             for (int lane = 0; lane < 32; ++lane) {
                 int g = lane / 4, t = lane % 4;
                 for (int word = 0; word < 6; ++word) {
                     for (int half = 0; half < 2; ++half) {
                         unsigned short bits;
                         memcpy(&bits, operands[lane] + word * 4 + half * 2, 2);
                         float x = widen(of_bits<T>(bits));
                         if (word < 4) a[g + word % 2 * 8][2 * t + half + word / 2 * 8] = x;
                         else b[2 * t + half + (word - 4) * 8][g] = x;
                     }
                 }
             }
             float sums[16][8] = {};
             for (int i = 0; i < 16; ++i) {
                 for (int k = 0; k < 16; ++k) {
                     for (int j = 0; j < 8; ++j) sums[i][j] += a[i][k] * b[k][j];
                 }
             }
             for (int lane = 0; lane < 32; ++lane) {
                 int g = lane / 4, t = lane % 4;
                 float mine[4] = {sums[g][2 * t], sums[g][2 * t + 1], sums[g + 8][2 * t], sums[g + 8][2 * t + 1]};
                 memcpy(results[lane], mine, sizeof mine);
             }
         },
         products, sizeof products);
    for (int i = 0; i < 4; ++i) c[i] += products[i];
}

}  // namespace shim

// Finishes only when it is waited for. Until then, the target holds NaN.
inline void copy_async(void* to, const void* from, bool exist, int line = __builtin_LINE()) {
    shim::start_copy(to, from, 16, exist, line);
}
inline void commit_copies() { shim::end_group(); }
template <int OPEN> void wait_copies() { shim::finish_groups(OPEN); }
inline void load_matrices(unsigned (&to)[4], const void* row, int line = __builtin_LINE()) {
    shim::load_matrices(to, row, false, line);
}
inline void load_matrices_transposed(unsigned (&to)[4], const void* row, int line = __builtin_LINE()) {
    shim::load_matrices(to, row, true, line);
}
template <typename T>
void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1, int line = __builtin_LINE()) {
    shim::multiply<T>(c, a, b0, b1, line);
}
