//! Link settings for a native module of Node.js.

fn main() {
    napi_build::setup();
}
