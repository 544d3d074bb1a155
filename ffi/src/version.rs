//! Which library this is: its version and the version of its binary interface.

use std::ffi::c_char;

/// Version of the binary interface that this header describes. The high 16 bits are the major version, that of the SONAME
/// (`libmq.so.<major>`); the low 16 bits grow with every addition.
pub const MQ_ABI_VERSION: u32 = 4;

/// The interface version of the library that is loaded, to be compared with `MQ_ABI_VERSION`: the major parts must be
/// equal and the library's minor part must not be smaller.
#[unsafe(no_mangle)]
pub extern "C" fn mq_abi_version() -> u32 {
    MQ_ABI_VERSION
}

/// The library's version, for instance `0.1.0`. The text is static.
#[unsafe(no_mangle)]
pub extern "C" fn mq_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
