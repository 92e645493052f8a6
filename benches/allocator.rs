//! Compares how allocators return memory: glibc's with `malloc_trim`, and mimalloc with `mi_collect`.
//!
//! Calls each allocator directly, in a process of its own, so that neither needs to be the global allocator. Three threads
//! that stay alive allocate 500 MB of mixed sizes, pass every other block to a neighbour, and free all but one block in a
//! thousand. Then memory is purged, first by the main thread alone, then by every thread.

#![expect(unsafe_code, reason = "allocators are unsafe to call directly")]
#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::process::Command;
use std::sync::mpsc;
use std::time::Instant;

use mimalloc::MiMalloc;

const THREADS: usize = 3;
const BYTES: usize = 500 << 20;
const ROUNDS: usize = 3;

#[cfg(all(target_os = "linux", target_env = "gnu"))]
unsafe extern "C" {
    fn malloc_trim(pad: usize) -> std::ffi::c_int;
}

#[derive(Clone, Copy)]
struct Allocator {
    name: &'static str,
    heap: &'static (dyn GlobalAlloc + Sync),
    purge: fn(),
}

const ALLOCATORS: [Allocator; 2] = [
    Allocator { name: "system", heap: &System, purge: trim },
    Allocator { name: "mimalloc", heap: &MiMalloc, purge: || unsafe { libmimalloc_sys::mi_collect(true) } },
];

fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        malloc_trim(0);
    }
}

/// A block that is freed on drop, by any thread.
struct Block {
    at: *mut u8,
    layout: Layout,
    heap: &'static (dyn GlobalAlloc + Sync),
}

unsafe impl Send for Block {}

impl Block {
    fn new(heap: &'static (dyn GlobalAlloc + Sync), bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, 16).expect("a small layout");
        let at = unsafe { heap.alloc(layout) };
        assert!(!at.is_null());
        // Every page is written, as a program would.
        (0..bytes).step_by(1024).for_each(|i| unsafe { at.add(i).write_volatile(1) });
        Self { at, layout, heap }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        unsafe { self.heap.dealloc(self.at, self.layout) }
    }
}

struct XorShift(u64);

impl XorShift {
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns 32 B to 4 MB, each power of 2 with the same probability.
    fn size(&mut self) -> usize {
        let order = 5 + self.draw() % 17;
        (1 << order) + self.draw() as usize % (1 << order)
    }
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb: f64 = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN);
    kb / 1024.0
}

/// A task for a worker thread, which signals when it is done.
enum WorkerTask {
    Fill(mpsc::Sender<Block>),
    Free,
    Purge,
}

struct Worker {
    tasks: mpsc::Sender<WorkerTask>,
    done: mpsc::Receiver<()>,
    passed: mpsc::Sender<Block>,
}

fn start_worker(allocator: Allocator, seed: u64) -> Worker {
    let (tasks, queue) = mpsc::channel();
    let (signal, done) = mpsc::channel();
    let (passed, received) = mpsc::channel::<Block>();
    std::thread::spawn(move || {
        let (mut random, mut own, mut kept) = (XorShift(seed), Vec::new(), Vec::new());
        for task in queue {
            match task {
                WorkerTask::Fill(neighbour) => {
                    let (mut bytes, mut count) = (0, 0);
                    while bytes < BYTES / THREADS {
                        let block = Block::new(allocator.heap, random.size());
                        bytes += block.layout.size();
                        count += 1;
                        if count % 2 == 0 { drop(neighbour.send(block)) } else { own.push(block) }
                    }
                }
                WorkerTask::Free => {
                    own.extend(received.try_iter());
                    for i in (1..own.len()).rev() {
                        own.swap(i, random.draw() as usize % (i + 1));
                    }
                    let small = own.iter().position(|block| block.layout.size() < 4096);
                    let few = own.len() / 1000;
                    kept.clear();
                    kept.extend(small.map(|at| own.swap_remove(at)));
                    kept.extend(own.drain(..few).filter(|block| block.layout.size() < 4096));
                    own = Vec::new();
                }
                WorkerTask::Purge => (allocator.purge)(),
            }
            if signal.send(()).is_err() {
                return;
            }
        }
    });
    Worker { tasks, done, passed }
}

fn run_on_all(workers: &[Worker], task: impl Fn(usize) -> WorkerTask) {
    for (i, worker) in workers.iter().enumerate() {
        worker.tasks.send(task(i)).expect("a thread");
    }
    workers.iter().for_each(|worker| worker.done.recv().expect("a thread"));
}

fn memory(allocator: Allocator) {
    let workers: Vec<Worker> =
        (0..THREADS).map(|i| start_worker(allocator, 88172645463325252 + i as u64)).collect();
    let base = resident();
    for round in 1..=ROUNDS {
        run_on_all(&workers, |i| WorkerTask::Fill(workers[(i + 1) % THREADS].passed.clone()));
        let full = resident() - base;
        run_on_all(&workers, |_| WorkerTask::Free);
        let freed = resident() - base;
        let start = Instant::now();
        (allocator.purge)();
        let (main, main_ms) = (resident() - base, start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        run_on_all(&workers, |_| WorkerTask::Purge);
        let (every, every_ms) = (resident() - base, start.elapsed().as_secs_f64() * 1e3);
        println!(
            "{:8}  round {round}: MB above the start: full {full:5.0}, freed {freed:5.0}, purged by main {main:5.1} \
             ({main_ms:.1} ms), by every thread {every:5.1} ({every_ms:.1} ms)",
            allocator.name
        );
    }
}

/// Replaces small blocks in a set of ten thousand, in three threads.
fn churn(allocator: Allocator) {
    const STEPS: usize = 3_000_000;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for i in 0..THREADS {
            scope.spawn(move || {
                let mut random = XorShift(88172645463325252 + i as u64);
                let mut set: Vec<Option<Block>> = (0..10_000).map(|_| None).collect();
                for _ in 0..STEPS {
                    let at = random.draw() as usize % set.len();
                    set[at] = None;
                    set[at] = Some(Block::new(allocator.heap, 16 + random.draw() as usize % 2000));
                }
            });
        }
    });
    let ns = start.elapsed().as_secs_f64() * 1e9 / (STEPS * THREADS) as f64;
    println!("{:8}  churn: {ns:.0} ns per block", allocator.name);
}

/// Allocates a large block for every result, writes it once and frees it after the next one, as the network's operations
/// do.
fn tensors(allocator: Allocator) {
    for mb in [1usize, 6, 30] {
        let count = 1500 / mb;
        let start = Instant::now();
        let mut last = None;
        for _ in 0..count {
            let block = Block::new(allocator.heap, mb << 20);
            unsafe { block.at.write_bytes(1, mb << 20) };
            drop(last.replace(block));
        }
        let rate = (count * mb) as f64 / 1024.0 / start.elapsed().as_secs_f64();
        println!("{:8}  tensors of {mb} MB: {rate:.1} GB/s written", allocator.name);
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let Some(allocator) =
        ALLOCATORS.into_iter().find(|allocator| args.get(1).is_some_and(|a| a == allocator.name))
    {
        match args.get(2).map(String::as_str) {
            Some("memory") => memory(allocator),
            Some("churn") => churn(allocator),
            _ => tensors(allocator),
        }
        return;
    }
    let own = std::env::current_exe().expect("the path of this program");
    for what in ["memory", "churn", "tensors"] {
        for allocator in ALLOCATORS {
            let status = Command::new(&own).args([allocator.name, what]).status();
            assert!(status.is_ok_and(|status| status.success()));
        }
    }
}
