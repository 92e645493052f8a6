//! CUDA: starts on every machine, and says why a device cannot be used; and the network's arithmetic on it.
//!
//! [`ops`] says which kernels do what; they are run by the driver, or on a machine without a GPU, in tests, by the
//! host.
//!
//! NVIDIA's libraries are not linked: [`lazy`] stands in for their functions, and looks each up in what [`libraries`]
//! has found on its first call. [`open`] asks the driver before candle does.

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
pub mod unavailable;

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
#[cfg(feature = "cuda")]
mod matmul;
#[cfg(any(test, feature = "cuda"))]
mod ops;
#[cfg(any(test, feature = "cuda"))]
mod sampler;
#[cfg(any(test, feature = "cuda"))]
mod scratch;

#[cfg(feature = "cuda")]
pub use matmul::LibraryError;
#[cfg(any(test, feature = "cuda"))]
pub use ops::Cuda;
