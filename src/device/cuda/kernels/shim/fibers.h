// Fibers for the threads of a block: their stacks, and the switch from one to another.
//
// The switch saves only the callee-saved registers and takes a handful of instructions. The system's `swapcontext` makes a
// system call for the signal mask each time.
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#if defined(__APPLE__)
#define ASSEMBLER_NAME "_transcribe_switch"
#else
#define ASSEMBLER_NAME "transcribe_switch"
#endif

// Stores the stack pointer of the current fiber in `from`, and resumes the other one.
extern "C" __attribute__((visibility("hidden"))) void transcribe_switch(void** from, void* to);

#if defined(__x86_64__)
asm(".text\n.p2align 4\n.globl " ASSEMBLER_NAME "\n" ASSEMBLER_NAME ":\n"
    "pushq %rbp\npushq %rbx\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, (%rdi)\nmovq %rsi, %rsp\n"
    "popq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbx\npopq %rbp\nret\n");
// The number of words that the switch pops from a stack, and the index of the return address among them.
constexpr int SWITCH_WORDS = 8, SWITCH_ADDRESS = 6;
#elif defined(__aarch64__)
asm(".text\n.p2align 4\n.globl " ASSEMBLER_NAME "\n" ASSEMBLER_NAME ":\n"
    "sub sp, sp, #160\n"
    "stp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\nstp x25, x26, [sp, #48]\n"
    "stp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\nstp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\n"
    "stp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
    "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\nldp x25, x26, [sp, #48]\n"
    "ldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\nldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\n"
    "ldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\nadd sp, sp, #160\nret\n");
constexpr int SWITCH_WORDS = 20, SWITCH_ADDRESS = 11;
#else
#error "the shim supports x86-64 and aarch64 only"
#endif

namespace shim {

// The stacks of all fibers. The system allocates their pages on first use.
class Stacks {
    static constexpr size_t BYTES = 128 * 1024;
    unsigned char* memory_;
    size_t bytes_;

public:
    explicit Stacks(unsigned count) : bytes_(count * BYTES) {
        void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
        if (memory == MAP_FAILED) abort();
        memory_ = static_cast<unsigned char*>(memory);
    }
    ~Stacks() { munmap(memory_, bytes_); }

    // Returns the stack pointer of a fiber that starts with `entry`, which never returns.
    void* begin(unsigned index, void (*entry)()) {
        uint64_t* top = reinterpret_cast<uint64_t*>(memory_ + (index + 1) * BYTES);
        uint64_t* words = top - SWITCH_WORDS;
        for (int i = 0; i < SWITCH_WORDS; ++i) words[i] = 0;
        words[SWITCH_ADDRESS] = reinterpret_cast<uint64_t>(entry);
        return words;
    }
};

}  // namespace shim
