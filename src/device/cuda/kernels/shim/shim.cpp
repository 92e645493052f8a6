// Runs the kernels on the host: launches blocks, and schedules the threads of a block. See `shim.h`.
//
//     c++ -std=c++17 -O2 -shared -fPIC -x c++ -DTRANSCRIBE_HOST src/device/cuda/kernels/shim/shim.cpp -o lib.so
//
// `transcribe_launch` takes the parameters of a kernel as `cuLaunchKernel` does: `parameters[i]` points at the i-th.
#include <sys/mman.h>

#include <algorithm>
#include <string>
#include <vector>

#include "../kernels.cu"
#include "fibers.h"

namespace shim {

constexpr unsigned MAX_THREADS = 1024;
// The shared memory of a block without special attributes.
constexpr size_t SHARED_BYTES = 48 * 1024;
// Bytes between arrays in shared memory, to detect writes beyond their ends.
constexpr size_t GAP = 256;
constexpr unsigned char GAP_BYTE = 0xa5, POISON = 0xff;

enum class ThreadState { Ready, Barrier, Meeting, Done };

struct Warp {
    unsigned arrived;
    const char* kind;
    int line;
    alignas(16) unsigned char operands[32][32], results[32][32];
};

struct PendingCopy {
    void* to;
    const void* from;
    size_t bytes;
    int group;
};

struct FiberThread {
    ThreadState state;
    int line;
    void* stack_pointer;
    std::vector<PendingCopy> copies;
    int groups;
};

struct SharedBlock {
    const void* key;
    size_t first, bytes;
};

// The state of the running launch, one for each host thread.
struct Runner {
    Stacks stacks{MAX_THREADS};
    std::vector<FiberThread> threads{MAX_THREADS};
    Warp warps[MAX_THREADS / 32];
    std::vector<SharedBlock> arrays;
    unsigned char* memory = nullptr;
    size_t used, dynamic_bytes;
    void* scheduler;
    unsigned current, count, alive, waiting;
    int barrier_line;
    const Registration* kernel;
    void** parameters;
    std::string error;
    uint64_t random = 1;

    ~Runner() { free(memory); }
    bool run_block();
    bool check_gaps();
    void describe_stall();
    unsigned draw(unsigned below) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        return unsigned(random >> 33) % below;
    }
};

thread_local Position position;
static thread_local Runner runner;
Registration* Registration::first = nullptr;

static void yield() { transcribe_switch(&runner.threads[runner.current].stack_pointer, runner.scheduler); }

void fail(const char* what, int line) {
    char text[400];
    snprintf(text, sizeof text, "kernel `%s`, block (%u, %u, %u), thread %u%s%s: %s", runner.kernel->name,
             position.block.x, position.block.y, position.block.z, position.thread.x, line ? ", line " : "",
             line ? std::to_string(line).c_str() : "", what);
    if (runner.error.empty()) runner.error = text;
    for (;;) yield();
}

static void run_thread() {
    runner.kernel->call(runner.kernel->kernel, runner.parameters);
    FiberThread& thread = runner.threads[runner.current];
    if (!thread.copies.empty()) fail("ends with asynchronous copies that it did not wait for", 0);
    thread.state = ThreadState::Done;
    --runner.alive;
    for (;;) yield();
}

void barrier(int line) {
    FiberThread& thread = runner.threads[runner.current];
    if (runner.waiting == 0) runner.barrier_line = line;
    if (runner.barrier_line != line) fail("threads of a block are at different barriers", line);
    if (++runner.waiting == runner.count) {
        runner.waiting = 0;
        for (unsigned i = 0; i < runner.count; ++i) runner.threads[i].state = ThreadState::Ready;
        return;
    }
    thread.state = ThreadState::Barrier;
    thread.line = line;
    yield();
}

void meet(const char* kind, int line, const void* operand, size_t bytes, Meeting all, void* result,
          size_t result_bytes) {
    unsigned lane = runner.current % 32;
    Warp& warp = runner.warps[runner.current / 32];
    if (warp.arrived == 0) warp.kind = kind, warp.line = line;
    if (warp.line != line || (warp.kind != kind && strcmp(warp.kind, kind) != 0)) {
        fail("lanes of a warp are at different instructions", line);
    }
    memcpy(warp.operands[lane], operand, bytes);
    if (++warp.arrived == 32) {
        all(warp.operands, warp.results);
        warp.arrived = 0;
        for (unsigned i = 0; i < 32; ++i) runner.threads[runner.current / 32 * 32 + i].state = ThreadState::Ready;
    } else {
        runner.threads[runner.current].state = ThreadState::Meeting;
        runner.threads[runner.current].line = line;
        yield();
    }
    memcpy(result, warp.results[lane], result_bytes);
}

void* shared(const void* key, size_t bytes) {
    for (const SharedBlock& array : runner.arrays) {
        if (array.key == key) return runner.memory + array.first;
    }
    size_t first = runner.used + GAP, sum = runner.dynamic_bytes + bytes;
    for (const SharedBlock& array : runner.arrays) sum += array.bytes;
    if (sum > SHARED_BYTES) fail("more shared memory than a block may have", 0);
    runner.arrays.push_back({key, first, bytes});
    runner.used = (first + bytes + 127) / 128 * 128;
    memset(runner.memory + first - GAP, GAP_BYTE, runner.used + GAP - (first - GAP));
    memset(runner.memory + first, POISON, bytes);
    return runner.memory + first;
}

void* dynamic_shared(size_t* bytes) {
    static const char key = 0;
    *bytes = runner.dynamic_bytes;
    runner.dynamic_bytes = 0;
    void* memory = shared(&key, *bytes);
    runner.dynamic_bytes = *bytes;
    return memory;
}

void check_shared(const void* address, size_t bytes, int line) {
    const unsigned char* first = static_cast<const unsigned char*>(address);
    for (const SharedBlock& array : runner.arrays) {
        const unsigned char* begin = runner.memory + array.first;
        if (first >= begin && first + bytes <= begin + array.bytes) return;
    }
    fail("an address is outside of shared memory", line);
}

void start_copy(void* to, const void* from, size_t bytes, bool exist, int line) {
    check_shared(to, bytes, line);
    if ((uintptr_t(to) | uintptr_t(from)) % bytes) fail("an asynchronous copy is not aligned", line);
    // The content of the target is undefined until the copy was waited for.
    memset(to, POISON, bytes);
    FiberThread& thread = runner.threads[runner.current];
    thread.copies.push_back({to, exist ? from : nullptr, bytes, thread.groups});
}

void end_group() { ++runner.threads[runner.current].groups; }

void finish_groups(int still_open) {
    FiberThread& thread = runner.threads[runner.current];
    auto done = [&](const PendingCopy& copy) {
        if (copy.group >= thread.groups - still_open) return false;
        if (copy.from) memcpy(copy.to, copy.from, copy.bytes);
        else memset(copy.to, 0, copy.bytes);
        return true;
    };
    std::vector<PendingCopy>& copies = thread.copies;
    copies.erase(std::remove_if(copies.begin(), copies.end(), done), copies.end());
}

void Runner::describe_stall() {
    for (unsigned i = 0; i < count; ++i) {
        const FiberThread& thread = threads[i];
        if (thread.state == ThreadState::Done) continue;
        error = std::string("kernel `") + kernel->name + "`: thread " + std::to_string(i) + " waits forever at " +
                (thread.state == ThreadState::Barrier ? "the barrier" : warps[i / 32].kind) + " of line " +
                std::to_string(thread.line) + " in block " + std::to_string(position.block.x);
        return;
    }
}

bool Runner::check_gaps() {
    size_t at = 0;
    for (size_t i = 0; i <= arrays.size(); ++i) {
        size_t end = i < arrays.size() ? arrays[i].first : used + GAP;
        for (; at < end && !arrays.empty(); ++at) {
            if (memory[at] != GAP_BYTE) {
                error = std::string("kernel `") + kernel->name + "` writes outside of shared memory";
                return false;
            }
        }
        if (i < arrays.size()) at = arrays[i].first + arrays[i].bytes;
    }
    return true;
}

// Runs the threads of a block: either each warp until none of its lanes is ready, or all lanes by turns.
bool Runner::run_block() {
    arrays.clear();
    used = waiting = 0;
    alive = count;
    for (unsigned i = 0; i < count; ++i) {
        FiberThread& thread = threads[i];
        thread.state = ThreadState::Ready;
        thread.copies.clear();
        thread.groups = 0;
        thread.stack_pointer = stacks.begin(i, &run_thread);
        warps[i / 32].arrived = 0;
    }
    unsigned n_warps = count / 32;
    while (alive) {
        unsigned flip_warps = draw(2) ? n_warps - 1 : 0, first_warp = draw(n_warps), flip_lanes = draw(32);
        bool by_warp = draw(2), any = false;
        for (unsigned w = 0; w < n_warps; ++w) {
            unsigned warp = (flip_warps ? flip_warps - w : w) + first_warp;
            warp = warp % n_warps * 32;
            for (bool ran = true; ran;) {
                ran = false;
                for (unsigned l = 0; l < 32; ++l) {
                    current = warp + (l ^ flip_lanes);
                    if (threads[current].state != ThreadState::Ready) continue;
                    position.thread = {current, 0, 0};
                    transcribe_switch(&scheduler, threads[current].stack_pointer);
                    if (!error.empty()) return false;
                    any = true;
                    ran = by_warp;
                }
            }
        }
        if (!any) {
            describe_stall();
            return false;
        }
    }
    return check_gaps();
}

static bool launch(const char* name, const unsigned grid[3], unsigned block, unsigned shared_bytes, void** parameters) {
    Runner& r = runner;
    r.error.clear();
    r.kernel = Registration::first;
    while (r.kernel && strcmp(r.kernel->name, name) != 0) r.kernel = r.kernel->next;
    if (!r.kernel) {
        r.error = std::string("no kernel `") + name + "`";
    } else if (block < r.kernel->min_block || block > r.kernel->max_block || block % 32) {
        r.error = std::string("kernel `") + name + "`: does not support blocks of " + std::to_string(block) + " threads";
    } else if (!grid[0] || !grid[1] || !grid[2] ||
               grid[0] > 0x7fffffffu || grid[1] > 65535 || grid[2] > 65535 || shared_bytes > SHARED_BYTES) {
        r.error = std::string("kernel `") + name + "`: the grid or the shared memory is larger than any device supports";
    }
    if (!r.error.empty()) return false;
    if (!r.memory) r.memory = static_cast<unsigned char*>(aligned_alloc(1024, 4 * SHARED_BYTES));
    r.parameters = parameters;
    r.count = block;
    r.dynamic_bytes = shared_bytes;
    position.block_size = {block, 1, 1};
    position.grid = {grid[0], grid[1], grid[2]};
    uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
    bool backwards = r.draw(2);
    for (uint64_t i = 0; i < blocks; ++i) {
        uint64_t at = backwards ? blocks - 1 - i : i;
        position.block = {unsigned(at % grid[0]), unsigned(at / grid[0] % grid[1]), unsigned(at / grid[0] / grid[1])};
        if (!r.run_block()) return false;
    }
    return true;
}

}  // namespace shim

#define VISIBLE extern "C" __attribute__((visibility("default")))

VISIBLE int transcribe_launch(const char* name, const unsigned grid[3], unsigned block, unsigned shared_bytes,
                              void** parameters) {
    return shim::launch(name, grid, block, shared_bytes, parameters) ? 0 : 1;
}

// Returns the error of the last launch of this host thread.
VISIBLE const char* transcribe_launch_error() { return shim::runner.error.c_str(); }
