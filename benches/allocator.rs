//! Which allocator gives memory back: the C library's with `malloc_trim`, or mimalloc with `mi_collect`.
//!
//! Calls each allocator by hand, every one in a process of its own, so that neither need be the program's.
//! Three threads that stay alive allocate 500 MB of mixed sizes, pass every other block to a neighbour, and free
//! all but one block in a thousand; then memory is purged, first by the main thread alone, then by every thread.

#![expect(unsafe_code, reason = "allocators are unsafe to call by hand")]
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

/// A block that is freed by whoever holds it last.
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
        // As a program would: every page is written.
        (0..bytes).step_by(1024).for_each(|i| unsafe { at.add(i).write_volatile(1) });
        Self { at, layout, heap }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        unsafe { self.heap.dealloc(self.at, self.layout) }
    }
}

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// 32 B to 4 MB, every order of magnitude as likely in number.
    fn size(&mut self) -> usize {
        let order = 5 + self.roll() % 17;
        (1 << order) + self.roll() as usize % (1 << order)
    }
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb: f64 = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN);
    kb / 1024.0
}

/// What a thread is told; it answers when it is done.
enum Order {
    Fill(mpsc::Sender<Block>),
    Free,
    Purge,
}

struct Hand {
    orders: mpsc::Sender<Order>,
    done: mpsc::Receiver<()>,
    gifts: mpsc::Sender<Block>,
}

fn hand(allocator: Allocator, seed: u64) -> Hand {
    let (orders, todo) = mpsc::channel();
    let (say_done, done) = mpsc::channel();
    let (gifts, given) = mpsc::channel::<Block>();
    std::thread::spawn(move || {
        let (mut dice, mut own, mut kept) = (Dice(seed), Vec::new(), Vec::new());
        for order in todo {
            match order {
                Order::Fill(neighbour) => {
                    let (mut bytes, mut count) = (0, 0);
                    while bytes < BYTES / THREADS {
                        let block = Block::new(allocator.heap, dice.size());
                        bytes += block.layout.size();
                        count += 1;
                        if count % 2 == 0 { drop(neighbour.send(block)) } else { own.push(block) }
                    }
                }
                Order::Free => {
                    own.extend(given.try_iter());
                    for i in (1..own.len()).rev() {
                        own.swap(i, dice.roll() as usize % (i + 1));
                    }
                    let small = own.iter().position(|block| block.layout.size() < 4096);
                    let few = own.len() / 1000;
                    kept.clear();
                    kept.extend(small.map(|at| own.swap_remove(at)));
                    kept.extend(own.drain(..few).filter(|block| block.layout.size() < 4096));
                    own = Vec::new();
                }
                Order::Purge => (allocator.purge)(),
            }
            if say_done.send(()).is_err() {
                return;
            }
        }
    });
    Hand { orders, done, gifts }
}

fn all(hands: &[Hand], order: impl Fn(usize) -> Order) {
    for (i, hand) in hands.iter().enumerate() {
        hand.orders.send(order(i)).expect("a thread");
    }
    hands.iter().for_each(|hand| hand.done.recv().expect("a thread"));
}

fn memory(allocator: Allocator) {
    let hands: Vec<Hand> = (0..THREADS).map(|i| hand(allocator, 88172645463325252 + i as u64)).collect();
    let base = resident();
    for round in 1..=ROUNDS {
        all(&hands, |i| Order::Fill(hands[(i + 1) % THREADS].gifts.clone()));
        let full = resident() - base;
        all(&hands, |_| Order::Free);
        let freed = resident() - base;
        let start = Instant::now();
        (allocator.purge)();
        let (main, main_ms) = (resident() - base, start.elapsed().as_secs_f64() * 1e3);
        let start = Instant::now();
        all(&hands, |_| Order::Purge);
        let (every, every_ms) = (resident() - base, start.elapsed().as_secs_f64() * 1e3);
        println!(
            "{:8}  round {round}: MB over the start: full {full:5.0}, freed {freed:5.0}, purged by main {main:5.1} \
             ({main_ms:.1} ms), by every thread {every:5.1} ({every_ms:.1} ms)",
            allocator.name
        );
    }
}

/// Small blocks come and go in a set of ten thousand, in three threads.
fn churn(allocator: Allocator) {
    const STEPS: usize = 3_000_000;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for i in 0..THREADS {
            scope.spawn(move || {
                let mut dice = Dice(88172645463325252 + i as u64);
                let mut set: Vec<Option<Block>> = (0..10_000).map(|_| None).collect();
                for _ in 0..STEPS {
                    let at = dice.roll() as usize % set.len();
                    set[at] = None;
                    set[at] = Some(Block::new(allocator.heap, 16 + dice.roll() as usize % 2000));
                }
            });
        }
    });
    let ns = start.elapsed().as_secs_f64() * 1e9 / (STEPS * THREADS) as f64;
    println!("{:8}  churn: {ns:.0} ns per block", allocator.name);
}

/// As the operations of the network do: a large block for every result, written once, gone after the next one.
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
