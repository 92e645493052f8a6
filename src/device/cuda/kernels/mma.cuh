// The tensor cores and what feeds them: asynchronous copies into shared memory, 8 x 8 matrices from there into the
// registers of a warp, products of 16 x 16 and 16 x 8 numbers of 16 bits summed in single precision.
//
// Which lane has what (PTX manual, mma.m16n8k16): with g = lane / 4 and t = lane % 4,
//   a[0] row g, columns 2t, 2t + 1;   a[1] row g + 8;   a[2], a[3] the same 8 columns further right;
//   b[0] rows 2t, 2t + 1 of column g;   b[1] 8 rows further down;
//   c[0], c[1] row g, columns 2t, 2t + 1;   c[2], c[3] row g + 8.
// For the host, `shim/mma.h` does the same by these layouts.
#pragma once

#ifdef TRANSCRIBE_HOST
#include "shim/mma.h"
#else

__device__ __forceinline__ unsigned shared_address(const void* place) {
    return static_cast<unsigned>(__cvta_generic_to_shared(place));
}

// 16 bytes into shared memory, or zeros if they are not `there`; `from` must be a valid address in any case.
__device__ __forceinline__ void copy_async(void* to, const void* from, bool there) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(to)), "l"(from), "r"(there ? 16 : 0)
                 : "memory");
}

// The copies since the last call are one group.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the last OPEN groups of this thread are still under way; a barrier makes them known to others.
template <int OPEN> __device__ __forceinline__ void wait_copies() {
    asm volatile("cp.async.wait_group %0;" : : "n"(OPEN) : "memory");
}

// Four matrices of 8 x 8: lane l gives the address of row l % 8 of matrix l / 8 and gets numbers 2t, 2t + 1 of row g
// of each.
__device__ __forceinline__ void load_matrices(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same for matrices that are turned over: a lane gets rows 2t, 2t + 1 of column g.
__device__ __forceinline__ void load_matrices_turned(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// c += a * b.
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
