//! Runs the kernels on a GPU through CUDA's driver. Each executor has a stream of its own.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::{CudaDevice, CudaStorageSlice as Slice, WrapErr};
use candle_core::{Result, Storage, Tensor, bail};
use cudarc::driver::{CudaContext, CudaGraph, CudaStream, DevicePtr, result, sys};

use super::executor::{Argument, Executor, Kernel, Launch, Pointer, Product, Recording};
use super::matmul::MatMul;

/// Aligns the fat binary for whatever the driver reads from it.
#[repr(C, align(64))]
struct AlignedImage<T: ?Sized>(T);

static KERNELS: &AlignedImage<[u8]> =
    &AlignedImage(*include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin")));

#[derive(Debug)]
pub struct Driver {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    module: Arc<KernelModule>,
    matmul: MatMul,
    processors: usize,
}

impl Driver {
    /// Creates an executor on the stream that candle uses for the device: the main queue.
    pub fn new(device: &CudaDevice) -> Result<Self> {
        let module = Arc::new(KernelModule::load(device.cuda_stream().context())?);
        Self::on(device, device.cuda_stream(), module)
    }

    fn on(device: &CudaDevice, stream: Arc<CudaStream>, module: Arc<KernelModule>) -> Result<Self> {
        let multiprocessors = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let processors = stream.context().attribute(multiprocessors).w()?.max(1) as usize;
        let matmul = MatMul::new(device)?;
        Ok(Driver { device: device.clone(), stream, module, matmul, processors })
    }

    fn bind(&self) -> Result<()> {
        self.stream.context().bind_to_thread().w()
    }
}

impl Executor for Driver {
    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        self.bind()?;
        let function = self.module.function(launch.kernel)?;
        let mut arguments: Vec<*mut c_void> = launch.arguments.iter().map(Argument::as_ptr).collect();
        let [x, y, z] = launch.grid;
        // SAFETY: `self` keeps the function's module loaded, and the driver copies the arguments, which are those that the
        // kernel declares.
        unsafe {
            let stream = self.stream.cu_stream();
            let block = (launch.block, 1, 1);
            result::launch_kernel(function, (x, y, z), block, launch.shared, stream, &mut arguments).w()
        }
    }

    fn multiply(&self, product: &Product) -> Result<()> {
        self.bind()?;
        self.matmul.run(product, &self.stream)
    }

    fn upload(&self, bytes: &[u8], to: Pointer) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller names memory of at least this size, and the driver has copied pageable memory on return.
        unsafe { result::memcpy_htod_async(to, bytes, self.stream.cu_stream()) }.w()
    }

    fn download(&self, from: Pointer, bytes: &mut [u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller names memory of at least this size, and the copy is waited for below.
        unsafe { result::memcpy_dtoh_async(bytes, from, self.stream.cu_stream()) }.w()?;
        self.stream.synchronize().w()
    }

    fn pointer(&self, x: &Tensor) -> Result<Pointer> {
        let (storage, layout) = x.storage_and_layout();
        if !layout.is_contiguous() {
            bail!("a tensor of {:?} is not contiguous", layout.shape());
        }
        let Storage::Cuda(storage) = &*storage else { bail!("a tensor on another device") };
        let stream = &self.stream;
        let (first, size) = match &storage.slice {
            Slice::U8(slice) => (slice.device_ptr(stream).0, 1),
            Slice::U32(slice) => (slice.device_ptr(stream).0, 4),
            Slice::F32(slice) => (slice.device_ptr(stream).0, 4),
            Slice::F16(slice) => (slice.device_ptr(stream).0, 2),
            Slice::BF16(slice) => (slice.device_ptr(stream).0, 2),
            _ => bail!("a tensor of {:?}", x.dtype()),
        };
        Ok(first + (layout.start_offset() * size) as Pointer)
    }

    fn record(&self, work: &mut dyn FnMut() -> Result<()>) -> Result<Option<Box<dyn Recording>>> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).w()?;
        let outcome = work();
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0)).w();
        outcome?;
        Ok(graph?.map(|graph| Box::new(RecordedGraph(graph)) as Box<dyn Recording>))
    }

    fn processors(&self) -> usize {
        self.processors
    }

    fn synchronize(&self) -> Result<()> {
        self.stream.synchronize().w()
    }

    fn is_idle(&self) -> Result<bool> {
        self.bind()?;
        // SAFETY: `self` keeps the stream alive.
        match unsafe { sys::cuStreamQuery(self.stream.cu_stream()) } {
            sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            status => status.result().map(|()| true).w(),
        }
    }

    fn new_queue(&self) -> Result<Option<Box<dyn Executor>>> {
        let stream = self.stream.context().new_stream().w()?;
        let queue = Self::on(&self.device, stream, Arc::clone(&self.module))?;
        // Weights and caches are written through the main queue.
        queue.wait_for_main_queue()?;
        Ok(Some(Box::new(queue)))
    }

    fn wait_for_main_queue(&self) -> Result<()> {
        let main = self.device.cuda_stream();
        if Arc::ptr_eq(&main, &self.stream) { Ok(()) } else { self.stream.join(&main).w() }
    }
}

/// The compiled kernels, loaded in a context.
struct KernelModule {
    context: Arc<CudaContext>,
    handle: sys::CUmodule,
    functions: Mutex<HashMap<Kernel, FunctionHandle>>,
}

impl std::fmt::Debug for KernelModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KernelModule").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct FunctionHandle(sys::CUfunction);

// SAFETY: any thread that the context is bound to may use the driver's handles.
unsafe impl Send for FunctionHandle {}
// SAFETY: as above.
unsafe impl Send for KernelModule {}
// SAFETY: as above; a lock guards the list of functions.
unsafe impl Sync for KernelModule {}

impl KernelModule {
    fn load(context: &Arc<CudaContext>) -> Result<Self> {
        context.bind_to_thread().w()?;
        // SAFETY: the image is a complete fat binary, made by the build script.
        let handle = unsafe { result::module::load_data(KERNELS.0.as_ptr().cast()) }.w()?;
        Ok(KernelModule { context: Arc::clone(context), handle, functions: Mutex::default() })
    }

    fn function(&self, kernel: Kernel) -> Result<sys::CUfunction> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(&kernel) {
            return Ok(function.0);
        }
        let name = CString::new(kernel.symbol()?).map_err(candle_core::Error::wrap)?;
        // SAFETY: the module is loaded.
        let function = unsafe { result::module::get_function(self.handle, name) }.w()?;
        functions.insert(kernel, FunctionHandle(function));
        Ok(function)
    }
}

impl Drop for KernelModule {
    fn drop(&mut self) {
        // A context that cannot be synchronized has been destroyed, and its modules with it.
        if self.context.synchronize().is_ok() {
            // SAFETY: the kernels have finished, and no executor is left to launch more.
            let _ = unsafe { result::module::unload(self.handle) };
        }
    }
}

struct RecordedGraph(CudaGraph);

// SAFETY: only the thread that owns the kernels replays it.
unsafe impl Send for RecordedGraph {}

impl std::fmt::Debug for RecordedGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RecordedGraph").finish_non_exhaustive()
    }
}

impl Recording for RecordedGraph {
    fn replay(&self) -> Result<()> {
        self.0.launch().w()
    }
}
