//! CUDA: opening devices, with a reason where one cannot be used, and the network's operations on them.
//!
//! `ops` maps the operations to kernels. An `executor` runs these: the driver on a GPU, or the host in tests.
//!
//! The program starts on machines without CUDA, because NVIDIA's libraries are not linked: `lazy` defines stubs for
//! their functions, which look up the real ones in `libraries` on their first call. `open` queries the driver before
//! candle does.

#![allow(unsafe_code, reason = "NVIDIA's libraries and their driver")]

#[cfg(all(feature = "cuda", target_os = "linux"))]
mod lazy;
#[cfg(all(feature = "cuda", target_os = "linux"))]
mod libraries;
#[cfg(any(feature = "cuda", test))]
#[cfg_attr(not(all(feature = "cuda", target_os = "linux")), allow(dead_code, reason = "tested everywhere"))]
mod library_paths;
#[cfg(feature = "cuda")]
pub mod open;
#[cfg(any(feature = "cuda", test))]
#[cfg_attr(not(all(feature = "cuda", target_os = "linux")), allow(dead_code, reason = "tested everywhere"))]
mod unavailable;

#[cfg(any(test, feature = "cuda"))]
mod attention;
#[cfg(any(test, feature = "cuda"))]
pub mod comparison;
#[cfg(feature = "cuda")]
mod driver;
#[cfg(any(test, feature = "cuda"))]
pub mod executor;
#[cfg(test)]
pub mod host;
#[cfg(any(test, feature = "cuda"))]
mod launcher;
#[cfg(feature = "cuda")]
mod matmul;
#[cfg(any(test, feature = "cuda"))]
mod ops;
#[cfg(any(test, feature = "cuda"))]
mod sampler;
#[cfg(any(test, feature = "cuda"))]
mod scratch;

#[cfg(any(test, feature = "cuda"))]
pub use launcher::Cuda;
#[cfg(feature = "cuda")]
pub use matmul::CublasLtError;
#[cfg(feature = "cuda")]
pub use unavailable::CudaUnavailable;
