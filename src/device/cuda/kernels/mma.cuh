// The instructions for the tensor cores: asynchronous copies to shared memory, loads of 8 x 8 matrices from there to the
// registers of a warp, and products of 16 x 16 by 16 x 8 matrices in 16-bit formats, accumulated in single precision.
//
// The layout of operands over lanes (PTX manual, mma.m16n8k16): with g = lane / 4 and t = lane % 4,
//   a[0] row g, columns 2t, 2t + 1;   a[1] row g + 8;   a[2], a[3] the same, 8 columns to the right;
//   b[0] rows 2t, 2t + 1 of column g;   b[1] 8 rows below;
//   c[0], c[1] row g, columns 2t, 2t + 1;   c[2], c[3] row g + 8.
// `shim/mma.h` implements them for the host with the same layouts.
#pragma once

#ifdef TRANSCRIBE_HOST
#include "shim/mma.h"
#else

__device__ __forceinline__ unsigned shared_address(const void* pointer) {
    return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

// Starts to copy 16 bytes to shared memory, or zeros unless they `exist`; `from` must be a valid address in any case.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool exist) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(to)), "l"(from), "r"(exist ? 16 : 0)
                 : "memory");
}

// Makes the copies since the last call one group.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the last OPEN groups of this thread are unfinished. A barrier makes the copies visible to others.
template <int OPEN> __device__ __forceinline__ void wait_copies() {
    asm volatile("cp.async.wait_group %0;" : : "n"(OPEN) : "memory");
}

// Loads four 8 x 8 matrices: lane l passes the address of row l % 8 of matrix l / 8, and receives numbers 2t, 2t + 1 of
// row g of each.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// Loads four matrices transposed: a lane receives rows 2t, 2t + 1 of column g of each.
__device__ __forceinline__ void load_matrices_transposed(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// Computes c += a * b.
template <typename T>
__device__ __forceinline__ void multiply(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);
template <>
__device__ __forceinline__ void multiply<__half>(float (&c)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ __forceinline__ void multiply<__nv_bfloat16>(float (&c)[4], const unsigned (&a)[4], unsigned b0,
                                                        unsigned b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif
