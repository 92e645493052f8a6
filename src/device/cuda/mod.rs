//! CUDA: starts on every machine, and says why a device cannot be used.
//!
//! NVIDIA's libraries are not linked: [`lazy`] stands in for their functions, and looks each up in what [`libraries`]
//! has found on its first call. [`open`] asks the driver before candle does.

#![cfg_attr(feature = "cuda", expect(unsafe_code, reason = "NVIDIA's libraries and their driver"))]

#[cfg(all(feature = "cuda", target_os = "linux"))]
mod lazy;
#[cfg(all(feature = "cuda", target_os = "linux"))]
mod libraries;
#[cfg(feature = "cuda")]
pub mod open;
#[cfg(any(feature = "cuda", test))]
#[cfg_attr(not(all(feature = "cuda", target_os = "linux")), allow(dead_code, reason = "tested everywhere"))]
mod places;
#[cfg(any(feature = "cuda", test))]
#[cfg_attr(not(all(feature = "cuda", target_os = "linux")), allow(dead_code, reason = "tested everywhere"))]
pub mod refusal;
