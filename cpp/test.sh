#!/usr/bin/env bash
# Builds and runs the C++ tests and the example against the installed package (cpp/build.sh makes it).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -d build/cpp/prefix ] || cpp/build.sh
cmake -S cpp/tests -B build/cpp/tests -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$PWD/build/cpp/prefix"
cmake --build build/cpp/tests
ctest --test-dir build/cpp/tests --output-on-failure --timeout 300
