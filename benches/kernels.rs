//! The CPU kernels alone, in each number format and in all vector instructions of the processor, beside the crate gemm:
//! GFLOP/s of one thread, from the least CPU time of several turns.
//!
//! `cargo bench --bench kernels -- products` or `attention`

#![expect(unsafe_code, reason = "the clock of the process, and gemm")]
#![expect(clippy::print_stdout, reason = "the results")]

use std::time::Duration;

use candle_core::{DType, Device, Tensor};
use transcribe::device::MatrixFormat;
use transcribe::device::cpu::{Cpu, SimdLevel};
use transcribe::device::kernels::{Epilogue, Kernels};

/// Rows, outputs and inputs: those of an encoder, and those of decoder steps.
const PRODUCTS: [(usize, usize, usize); 15] = [
    (1500, 384, 384),
    (1500, 1536, 384),
    (1500, 384, 1536),
    (1500, 512, 512),
    (1500, 2048, 512),
    (1500, 512, 2048),
    (1500, 5120, 1280),
    (1, 1536, 384),
    (5, 1536, 384),
    (8, 1536, 384),
    (16, 1536, 384),
    (40, 1536, 384),
    (1, 51865, 512),
    (5, 51865, 512),
    (8, 51865, 512),
];
const HEADS: [usize; 3] = [6, 8, 20];
const TURNS: usize = 12;

/// Something to measure, with its name.
type Candidate<'a> = (String, Box<dyn FnMut() + 'a>);

#[cfg(not(unix))]
fn cpu_time() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time after 1970")
}

/// Returns the CPU time of the process, which neighbours on the machine disturb less than the wall time.
#[cfg(unix)]
fn cpu_time() -> Duration {
    #[repr(C)]
    struct TimeSpec {
        seconds: i64,
        nanoseconds: i64,
    }
    unsafe extern "C" {
        fn clock_gettime(clock: i32, time: *mut TimeSpec) -> i32;
    }
    const PROCESS_CPU_TIME: i32 = if cfg!(target_os = "macos") { 12 } else { 2 };
    let mut time = TimeSpec { seconds: 0, nanoseconds: 0 };
    // SAFETY: writes the time, which lives long enough.
    assert_eq!(unsafe { clock_gettime(PROCESS_CPU_TIME, &mut time) }, 0, "no clock of the process");
    Duration::new(time.seconds as u64, time.nanoseconds as u32)
}

/// Runs the candidates in turns, and prints a row of a table.
fn compare(title: &str, work: f64, mut candidates: Vec<Candidate<'_>>) {
    let mut least = vec![Duration::MAX; candidates.len()];
    for _ in 0..TURNS {
        for ((_, run), least) in candidates.iter_mut().zip(&mut least) {
            let start = cpu_time();
            run();
            *least = (*least).min(cpu_time() - start);
        }
    }
    let speeds = candidates.iter().zip(least);
    let speeds: Vec<String> =
        speeds.map(|((name, _), time)| format!("{name} {:.1}", work / time.as_secs_f64() / 1e9)).collect();
    println!("{title}: {}", speeds.join(", "));
}

fn values(shape: &[usize]) -> Tensor {
    let value = |i: usize| (i * 7919 % 1000) as f32 / 1000.0 - 0.5;
    let all: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    Tensor::from_vec(all, shape, &Device::Cpu).expect("a tensor")
}

fn levels() -> impl Iterator<Item = SimdLevel> {
    SimdLevel::all().into_iter().filter(|level| level.lanes() > 1)
}

fn product((rows, out, width): (usize, usize, usize)) {
    let (x, weight, bias) = (values(&[rows, width]), values(&[out, width]), values(&[out]));
    let formats = [DType::F32.into(), DType::F16.into(), DType::BF16.into(), MatrixFormat::Int8];
    let mut candidates: Vec<Candidate<'_>> = Vec::new();
    for (level, format) in levels().flat_map(|level| formats.map(|format| (level, format))) {
        let cpu = Cpu::with_level(level);
        let packed = cpu.upload_matrix(weight.clone(), format).expect("a weight");
        let (x, bias, y) = (&x, &bias, values(&[rows, out]));
        let run = move || cpu.linear(x, &packed, Some(bias), Epilogue::Store, &y).expect("a product");
        candidates.push((format!("{} {}", format.name(), level.name()), Box::new(run)));
    }
    let (a, b): (Vec<f32>, Vec<f32>) = (
        x.flatten_all().and_then(|x| x.to_vec1()).expect("values"),
        weight.flatten_all().and_then(|w| w.to_vec1()).expect("values"),
    );
    let mut y = vec![0f32; rows * out];
    let gemm = move || {
        let (one, w, n) = (1isize, width as isize, out as isize);
        // SAFETY: the matrices have these dimensions and strides.
        unsafe {
            gemm::gemm(
                rows,
                out,
                width,
                y.as_mut_ptr(),
                one,
                n,
                false,
                a.as_ptr(),
                one,
                w,
                b.as_ptr(),
                w,
                one,
                0f32,
                1f32,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    };
    candidates.push(("gemm".into(), Box::new(gemm)));
    compare(&format!("{rows}x{out}x{width}"), 2.0 * (rows * out * width) as f64, candidates);
}

fn attention(heads: usize) {
    let (rows, width) = (1500, 64 * heads);
    let qkv = values(&[1, rows, 3 * width]);
    let candidates = levels().map(|level| {
        let (cpu, qkv, y) = (Cpu::with_level(level), &qkv, values(&[1, rows, width]));
        let run = move || cpu.attention(qkv, heads, &y).expect("an attention");
        (level.name().to_owned(), Box::new(run) as Box<dyn FnMut()>)
    });
    compare(&format!("attention, {heads} heads"), 4.0 * (rows * rows * width) as f64, candidates.collect());
}

fn main() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let wanted = |name: &str| {
        let mut names = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
        names.peek().is_none() || names.any(|wanted| wanted == name)
    };
    pool.install(|| {
        if wanted("products") {
            PRODUCTS.into_iter().for_each(product);
        }
        if wanted("attention") {
            HEADS.into_iter().for_each(attention);
        }
    });
}
