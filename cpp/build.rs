//! Compiles the bridge and the C++ classes into the static library.

fn main() {
    cxx_build::bridge("src/lib.rs")
        .file("src/error.cc")
        .file("src/client.cc")
        .file("src/consumer.cc")
        .file("src/pull.cc")
        .file("src/testing.cc")
        .include("include")
        .include("src")
        .std("c++17")
        .flag("-Wall")
        .flag("-Wextra")
        .compile("mq_cpp_classes");
    for file in [
        "src/lib.rs",
        "src/detail.hpp",
        "src/log_handler.hpp",
        "src/error.cc",
        "src/client.cc",
        "src/consumer.cc",
        "src/pull.cc",
        "src/testing.cc",
        "include/libmq/libmq.hpp",
    ] {
        println!("cargo::rerun-if-changed={file}");
    }
}
