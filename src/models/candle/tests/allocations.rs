//! Allocations of decoder steps and encoder passes: nothing is kept, and later steps take no more than early ones.

use allocation_counter::{AllocationInfo, measure};

use crate::cancel::CancelToken;
use crate::device::SelectedDevice;
use crate::models::hub::Hub;
use crate::models::{Backend, LoadLimits, RowInput, SlotRequest, WindowInput, load, source};
use crate::time::WINDOW_FRAMES;

const PROMPT: [u32; 3] = [50258, 50259, 50359];

fn demo() -> Box<dyn Backend> {
    let found = source::find("demo", None, &Hub::nowhere(), &CancelToken::new(), &mut |_| ()).unwrap();
    let limits = LoadLimits { budget: None, on_fewer_windows: &mut |_| () };
    load(&found, &SelectedDevice::cpu(), SlotRequest { windows: Some(2), candidates: 1, beams: 1 }, limits)
        .unwrap()
        .backend
}

/// Feeds these tokens to both windows.
fn step(backend: &mut dyn Backend, position: usize, tokens: &[u32], logits: &mut Vec<f32>) {
    let last = [tokens.len() - 1];
    let row = |slot| RowInput { sequence: slot, window: slot, position, tokens, logits_after: &last };
    backend.decode(&[row(0), row(1)], logits).unwrap();
}

/// Runs on a single thread, so that all allocations are counted.
fn on_one_thread<T: Send>(f: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(f)
}

#[test]
fn steps_keep_nothing_and_do_not_grow_with_the_text() {
    let steps: Vec<AllocationInfo> = on_one_thread(|| {
        let mut backend = demo();
        let mel: Vec<f32> =
            (0..backend.spec().n_mels * WINDOW_FRAMES).map(|at| (at % 7) as f32 * 0.1).collect();
        let window = |slot| WindowInput { slot, mel: &mel };
        backend.encode(&[window(0), window(1)]).unwrap();
        let mut logits = Vec::new();
        step(&mut *backend, 0, &PROMPT, &mut logits);
        let positions = PROMPT.len()..backend.spec().n_text_ctx;
        positions.map(|position| measure(|| step(&mut *backend, position, &[1000], &mut logits))).collect()
    });
    assert!(steps.len() > 400);
    let (early, late) = (&steps[10..60], &steps[steps.len() - 50..]);
    let most = |steps: &[AllocationInfo]| {
        (
            steps.iter().map(|step| step.count_total).max().unwrap(),
            steps.iter().map(|step| step.bytes_total).max().unwrap(),
        )
    };
    let (early_most, late_most) = (most(early), most(late));
    // Beyond some length the attention of each layer is split among threads, which allocates one short list.
    let message = format!("{early_most:?}, {late_most:?} allocations and bytes in a step");
    assert!(late_most.0 <= early_most.0 + 4 && late_most.1 <= early_most.1 + 512, "{message}");
    assert!(late_most.1 < 16 << 10, "{message}");
    let kept: Vec<i64> =
        steps[10..].iter().map(|step| step.bytes_current).filter(|kept| *kept != 0).collect();
    assert!(kept.is_empty(), "{kept:?}");
}

#[test]
fn encoder_passes_keep_nothing() {
    let passes: Vec<AllocationInfo> = on_one_thread(|| {
        let mut backend = demo();
        let mel: Vec<f32> =
            (0..backend.spec().n_mels * WINDOW_FRAMES).map(|at| (at % 5) as f32 * 0.1).collect();
        let pass = |_| measure(|| backend.encode(&[WindowInput { slot: 0, mel: &mel }]).unwrap());
        (0..6).map(pass).collect()
    });
    let later = &passes[1..];
    assert!(later.iter().all(|pass| pass.bytes_current == 0), "{later:?}");
    assert!(later.iter().all(|pass| pass.bytes_total == later[0].bytes_total), "{later:?}");
}
