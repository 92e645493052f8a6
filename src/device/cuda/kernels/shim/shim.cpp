// Runs the kernels on the host: a launcher for blocks, and a scheduler for the threads of a block. See `shim.h`.
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

constexpr unsigned MOST_THREADS = 1024;
// What a block of a launch without special attributes may have.
constexpr size_t SHARED_BYTES = 48 * 1024;
// Between arrays of shared memory, to see who writes beyond their ends.
constexpr size_t GAP = 256;
constexpr unsigned char GAP_BYTE = 0xa5, POISON = 0xff;

enum class State { Ready, Barrier, Meeting, Done };

struct Warp {
    unsigned arrived;
    const char* kind;
    int line;
    alignas(16) unsigned char brought[32][32], results[32][32];
};

struct Copy {
    void* to;
    const void* from;
    size_t bytes;
    int group;
};

struct Thread {
    State state;
    int line;
    void* stack_pointer;
    std::vector<Copy> copies;
    int groups;
};

struct Array {
    const void* key;
    size_t first, bytes;
};

// Everything of the running launch; one for each thread of the host.
struct Runner {
    Stacks stacks{MOST_THREADS};
    std::vector<Thread> threads{MOST_THREADS};
    Warp warps[MOST_THREADS / 32];
    std::vector<Array> arrays;
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

thread_local Here here;
static thread_local Runner runner;
Registration* Registration::first = nullptr;

static void leave() { transcribe_switch(&runner.threads[runner.current].stack_pointer, runner.scheduler); }

void fail(const char* what, int line) {
    char text[400];
    snprintf(text, sizeof text, "kernel `%s`, block (%u, %u, %u), thread %u%s%s: %s", runner.kernel->name,
             here.block.x, here.block.y, here.block.z, here.thread.x, line ? ", line " : "",
             line ? std::to_string(line).c_str() : "", what);
    if (runner.error.empty()) runner.error = text;
    for (;;) leave();
}

static void enter() {
    runner.kernel->call(runner.kernel->kernel, runner.parameters);
    Thread& thread = runner.threads[runner.current];
    if (!thread.copies.empty()) fail("ends with asynchronous copies that nobody waited for", 0);
    thread.state = State::Done;
    --runner.alive;
    for (;;) leave();
}

void barrier(int line) {
    Thread& thread = runner.threads[runner.current];
    if (runner.waiting == 0) runner.barrier_line = line;
    if (runner.barrier_line != line) fail("threads of a block are at different barriers", line);
    if (++runner.waiting == runner.count) {
        runner.waiting = 0;
        for (unsigned i = 0; i < runner.count; ++i) runner.threads[i].state = State::Ready;
        return;
    }
    thread.state = State::Barrier;
    thread.line = line;
    leave();
}

void meet(const char* kind, int line, const void* brought, size_t bytes, Meeting all, void* result,
          size_t result_bytes) {
    unsigned lane = runner.current % 32;
    Warp& warp = runner.warps[runner.current / 32];
    if (warp.arrived == 0) warp.kind = kind, warp.line = line;
    if (warp.line != line || (warp.kind != kind && strcmp(warp.kind, kind) != 0)) {
        fail("lanes of a warp are at different instructions", line);
    }
    memcpy(warp.brought[lane], brought, bytes);
    if (++warp.arrived == 32) {
        all(warp.brought, warp.results);
        warp.arrived = 0;
        for (unsigned i = 0; i < 32; ++i) runner.threads[runner.current / 32 * 32 + i].state = State::Ready;
    } else {
        runner.threads[runner.current].state = State::Meeting;
        runner.threads[runner.current].line = line;
        leave();
    }
    memcpy(result, warp.results[lane], result_bytes);
}

void* shared(const void* key, size_t bytes) {
    for (const Array& array : runner.arrays) {
        if (array.key == key) return runner.memory + array.first;
    }
    size_t first = runner.used + GAP, sum = runner.dynamic_bytes + bytes;
    for (const Array& array : runner.arrays) sum += array.bytes;
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
    void* place = shared(&key, *bytes);
    runner.dynamic_bytes = *bytes;
    return place;
}

void check_shared(const void* place, size_t bytes, int line) {
    const unsigned char* first = static_cast<const unsigned char*>(place);
    for (const Array& array : runner.arrays) {
        const unsigned char* begin = runner.memory + array.first;
        if (first >= begin && first + bytes <= begin + array.bytes) return;
    }
    fail("an address is outside of shared memory", line);
}

void copy_later(void* to, const void* from, size_t bytes, bool there, int line) {
    check_shared(to, bytes, line);
    if ((uintptr_t(to) | uintptr_t(from)) % bytes) fail("an asynchronous copy is not aligned", line);
    // Nothing may be known of the place until the copy was waited for.
    memset(to, POISON, bytes);
    Thread& thread = runner.threads[runner.current];
    thread.copies.push_back({to, there ? from : nullptr, bytes, thread.groups});
}

void end_group() { ++runner.threads[runner.current].groups; }

void finish_groups(int still_open) {
    Thread& thread = runner.threads[runner.current];
    auto done = [&](const Copy& copy) {
        if (copy.group >= thread.groups - still_open) return false;
        if (copy.from) memcpy(copy.to, copy.from, copy.bytes);
        else memset(copy.to, 0, copy.bytes);
        return true;
    };
    std::vector<Copy>& copies = thread.copies;
    copies.erase(std::remove_if(copies.begin(), copies.end(), done), copies.end());
}

void Runner::describe_stall() {
    for (unsigned i = 0; i < count; ++i) {
        const Thread& thread = threads[i];
        if (thread.state == State::Done) continue;
        error = std::string("kernel `") + kernel->name + "`: thread " + std::to_string(i) + " waits for ever at " +
                (thread.state == State::Barrier ? "the barrier" : warps[i / 32].kind) + " of line " +
                std::to_string(thread.line) + " in block " + std::to_string(here.block.x);
        return;
    }
}

bool Runner::check_gaps() {
    size_t place = 0;
    for (size_t i = 0; i <= arrays.size(); ++i) {
        size_t end = i < arrays.size() ? arrays[i].first : used + GAP;
        for (; place < end && !arrays.empty(); ++place) {
            if (memory[place] != GAP_BYTE) {
                error = std::string("kernel `") + kernel->name + "` writes outside of shared memory";
                return false;
            }
        }
        if (i < arrays.size()) place = arrays[i].first + arrays[i].bytes;
    }
    return true;
}

// Runs the threads of a block: all lanes of a warp until none can go on, then the next warp, or lane by lane.
bool Runner::run_block() {
    arrays.clear();
    used = waiting = 0;
    alive = count;
    for (unsigned i = 0; i < count; ++i) {
        Thread& thread = threads[i];
        thread.state = State::Ready;
        thread.copies.clear();
        thread.groups = 0;
        thread.stack_pointer = stacks.begin(i, &enter);
        warps[i / 32].arrived = 0;
    }
    unsigned n_warps = count / 32;
    while (alive) {
        unsigned flip_warps = draw(2) ? n_warps - 1 : 0, turn = draw(n_warps), flip_lanes = draw(32);
        bool far_ahead = draw(2), any = false;
        for (unsigned w = 0; w < n_warps; ++w) {
            unsigned warp = (flip_warps ? flip_warps - w : w) + turn;
            warp = warp % n_warps * 32;
            for (bool ran = true; ran;) {
                ran = false;
                for (unsigned l = 0; l < 32; ++l) {
                    current = warp + (l ^ flip_lanes);
                    if (threads[current].state != State::Ready) continue;
                    here.thread = {current, 0, 0};
                    transcribe_switch(&scheduler, threads[current].stack_pointer);
                    if (!error.empty()) return false;
                    any = true;
                    ran = far_ahead;
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
    } else if (block < r.kernel->least || block > r.kernel->most || block % 32) {
        r.error = std::string("kernel `") + name + "`: not made for blocks of " + std::to_string(block) + " threads";
    } else if (!grid[0] || !grid[1] || !grid[2] ||
               grid[0] > 0x7fffffffu || grid[1] > 65535 || grid[2] > 65535 || shared_bytes > SHARED_BYTES) {
        r.error = std::string("kernel `") + name + "`: no device has a grid or shared memory of this size";
    }
    if (!r.error.empty()) return false;
    if (!r.memory) r.memory = static_cast<unsigned char*>(aligned_alloc(1024, 4 * SHARED_BYTES));
    r.parameters = parameters;
    r.count = block;
    r.dynamic_bytes = shared_bytes;
    here.block_size = {block, 1, 1};
    here.grid = {grid[0], grid[1], grid[2]};
    uint64_t blocks = uint64_t(grid[0]) * grid[1] * grid[2];
    bool backwards = r.draw(2);
    for (uint64_t i = 0; i < blocks; ++i) {
        uint64_t at = backwards ? blocks - 1 - i : i;
        here.block = {unsigned(at % grid[0]), unsigned(at / grid[0] % grid[1]), unsigned(at / grid[0] / grid[1])};
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

// What went wrong in the last launch of this thread.
VISIBLE const char* transcribe_launch_error() { return shim::runner.error.c_str(); }

// Where the order of threads of the next launches begins.
VISIBLE void transcribe_launch_seed(unsigned seed) { shim::runner.random = seed * 2u + 1; }
