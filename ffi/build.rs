//! Gives the shared library its SONAME, which rustc does not.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libmq.so.0");
}
