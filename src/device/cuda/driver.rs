//! Kernels on a GPU, by CUDA's driver, each executor with a queue (a stream) of its own.

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::cuda_backend::{CudaDevice, CudaStorageSlice as Slice, WrapErr};
use candle_core::{Result, Storage, Tensor, bail};
use cudarc::driver::{CudaContext, CudaGraph, CudaStream, DevicePtr, result, sys};

use super::executor::{Argument, Executor, Kernel, Launch, Pointer, Product, Recording};
use super::matmul::Products;

/// At an address that suits whatever the driver reads there.
#[repr(C, align(64))]
struct Aligned<T: ?Sized>(T);

static KERNELS: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin")));

#[derive(Debug)]
pub struct Driver {
    device: CudaDevice,
    stream: Arc<CudaStream>,
    module: Arc<Module>,
    products: Products,
    processors: usize,
}

impl Driver {
    /// On the stream on which candle works with the device.
    pub fn new(device: &CudaDevice) -> Result<Self> {
        let module = Arc::new(Module::load(device.cuda_stream().context())?);
        Self::on(device, device.cuda_stream(), module)
    }

    fn on(device: &CudaDevice, stream: Arc<CudaStream>, module: Arc<Module>) -> Result<Self> {
        let multiprocessors = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let processors = stream.context().attribute(multiprocessors).w()?.max(1) as usize;
        let products = Products::new(device)?;
        Ok(Driver { device: device.clone(), stream, module, products, processors })
    }

    fn bind(&self) -> Result<()> {
        self.stream.context().bind_to_thread().w()
    }
}

impl Executor for Driver {
    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        self.bind()?;
        let function = self.module.function(launch.kernel)?;
        let address = |argument: &Argument| -> *mut c_void {
            match argument {
                Argument::Pointer(value) | Argument::Long(value) => (&raw const *value).cast_mut().cast(),
                Argument::Int(value) => (&raw const *value).cast_mut().cast(),
                Argument::Float(value) => (&raw const *value).cast_mut().cast(),
            }
        };
        let mut arguments: Vec<*mut c_void> = launch.arguments.iter().map(address).collect();
        let [x, y, z] = launch.grid;
        // SAFETY: the function is of a module that lives as long as this, and the driver copies the arguments, which are
        // those that the kernel declares.
        unsafe {
            let stream = self.stream.cu_stream();
            let block = (launch.block, 1, 1);
            result::launch_kernel(function, (x, y, z), block, launch.shared, stream, &mut arguments).w()
        }
    }

    fn multiply(&self, product: &Product) -> Result<()> {
        self.bind()?;
        self.products.run(product, &self.stream)
    }

    fn upload(&self, bytes: &[u8], to: Pointer) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller asks for room that is there; the driver has copied pageable memory when it returns.
        unsafe { result::memcpy_htod_async(to, bytes, self.stream.cu_stream()) }.w()
    }

    fn download(&self, from: Pointer, bytes: &mut [u8]) -> Result<()> {
        self.bind()?;
        // SAFETY: the caller asks for bytes that are there, and they are waited for below.
        unsafe { result::memcpy_dtoh_async(bytes, from, self.stream.cu_stream()) }.w()?;
        self.stream.synchronize().w()
    }

    fn pointer(&self, x: &Tensor) -> Result<Pointer> {
        let (storage, layout) = x.storage_and_layout();
        if !layout.is_contiguous() {
            bail!("a tensor of {:?} is not contiguous", layout.shape());
        }
        let Storage::Cuda(storage) = &*storage else { bail!("a tensor of another device") };
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
        let worked = work();
        let graph = self.stream.end_capture(sys::CUgraphInstantiate_flags(0)).w();
        worked?;
        Ok(graph?.map(|graph| Box::new(Graph(graph)) as Box<dyn Recording>))
    }

    fn processors(&self) -> usize {
        self.processors
    }

    fn wait(&self) -> Result<()> {
        self.stream.synchronize().w()
    }

    fn is_idle(&self) -> Result<bool> {
        self.bind()?;
        // SAFETY: the stream lives as long as this.
        match unsafe { sys::cuStreamQuery(self.stream.cu_stream()) } {
            sys::CUresult::CUDA_ERROR_NOT_READY => Ok(false),
            told => told.result().map(|()| true).w(),
        }
    }

    fn beside(&self) -> Result<Option<Box<dyn Executor>>> {
        let stream = self.stream.context().new_stream().w()?;
        let other = Self::on(&self.device, stream, Arc::clone(&self.module))?;
        // Weights and caches come by the device's own stream.
        other.wait_for_others()?;
        Ok(Some(Box::new(other)))
    }

    fn wait_for_others(&self) -> Result<()> {
        let own = self.device.cuda_stream();
        if Arc::ptr_eq(&own, &self.stream) { Ok(()) } else { self.stream.join(&own).w() }
    }
}

/// The compiled kernels in a context.
struct Module {
    context: Arc<CudaContext>,
    handle: sys::CUmodule,
    functions: Mutex<HashMap<Kernel, Function>>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy)]
struct Function(sys::CUfunction);

// SAFETY: the driver's handles may be used by any thread that the context is bound to.
unsafe impl Send for Function {}
// SAFETY: as above.
unsafe impl Send for Module {}
// SAFETY: as above; the list of functions is behind a lock.
unsafe impl Sync for Module {}

impl Module {
    fn load(context: &Arc<CudaContext>) -> Result<Self> {
        context.bind_to_thread().w()?;
        // SAFETY: the image is a whole fat binary, made when this program was built.
        let handle = unsafe { result::module::load_data(KERNELS.0.as_ptr().cast()) }.w()?;
        Ok(Module { context: Arc::clone(context), handle, functions: Mutex::default() })
    }

    fn function(&self, kernel: Kernel) -> Result<sys::CUfunction> {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions.get(&kernel) {
            return Ok(function.0);
        }
        let name = CString::new(kernel.symbol()?).map_err(candle_core::Error::wrap)?;
        // SAFETY: the module is loaded.
        let function = unsafe { result::module::get_function(self.handle, name) }.w()?;
        functions.insert(kernel, Function(function));
        Ok(function)
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        // A context that cannot be waited for any more has taken its modules with it.
        if self.context.synchronize().is_ok() {
            // SAFETY: nobody launches its kernels any more.
            let _ = unsafe { result::module::unload(self.handle) };
        }
    }
}

struct Graph(CudaGraph);

// SAFETY: it is replayed by one thread at a time, the owner of the kernels.
unsafe impl Send for Graph {}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph").finish_non_exhaustive()
    }
}

impl Recording for Graph {
    fn replay(&self) -> Result<()> {
        self.0.launch().w()
    }
}
