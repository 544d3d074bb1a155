#!/usr/bin/env bash
# Builds the C++ package and installs it, with the scenario runner built against it as a user would, below build/cpp.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
prefix=$PWD/build/cpp/prefix

quiet() { "$@" >"build/cpp/log" 2>&1 || { cat build/cpp/log; exit 1; }; }
mkdir -p build/cpp
quiet cmake -S cpp -B build/cpp/package -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DLIBMQ_CARGO_SELECT=
quiet cmake --build build/cpp/package
quiet cmake --install build/cpp/package
quiet cmake -S tests/runners/cpp -B build/cpp/runner -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$prefix"
quiet cmake --build build/cpp/runner
