#!/usr/bin/env bash
# Every test of the C interface: header and symbols as committed, the tests under gcc and g++ in all dialects, memcheck,
# the installed packages. The last line is `N passed, N failed`, over all runs.
#
#   ffi/tests/run.sh            MQ_PROFILE=dev tests a debug build
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
profile=${MQ_PROFILE:-release}
built=$CARGO_TARGET_DIR/$([ "$profile" = dev ] && echo debug || echo "$profile")
out=$PWD/build/c
prefix=$out/prefix
rm -rf "$out"
mkdir -p "$out"

passed=0
failed=0

# note STATUS NAME: counts one check of this script.
note() {
    if [ "$1" = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    printf '%s: %s\n' "$([ "$1" = 0 ] && echo ok || echo FAILED)" "$2"
}
try() {
    local name=$1 status=0
    shift
    "$@" || status=$?
    note $status "$name"
    return $status
}

# run NAME COMMAND...: runs a test program and keeps what it says.
run() {
    local name=$1 status=0
    shift
    "$@" >"$out/$name.log" 2>"$out/$name.err" || status=$?
    echo $status >"$out/$name.status"
}

# count NAME: adds what a test program that was run has counted.
count() {
    local name=$1 status line
    status=$(cat "$out/$name.status")
    line=$(tail -n 1 "$out/$name.log")
    if [[ $line =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        passed=$((passed + BASH_REMATCH[1]))
        failed=$((failed + BASH_REMATCH[2]))
    fi
    note "$status" "$name: $line"
    [ "$status" = 0 ] || tail -n 100 "$out/$name.err"
}

finish() {
    printf '%s passed, %s failed\n' "$passed" "$failed"
    [ "$failed" = 0 ]
    exit
}

try "the library builds" cargo build --locked --profile "$profile" || finish
try "the headers and the list of symbols are what the sources say" cargo run --locked --quiet -p mq-ffi-xtask -- header --check
try "the wrappers repeat the headers as they are" python3 ffi/tests/signatures.py
nm -D --defined-only "$built/libmq.so" | awk '{ print $3 }' | LC_ALL=C sort >"$out/symbols.txt"
try "the exported symbols are the declared ones" diff -u ffi/symbols.txt "$out/symbols.txt"
readelf -d "$built/libmq.so" | grep -q 'SONAME.*\[libmq.so.0\]'
note $? "the SONAME is libmq.so.0"

install_package() {
    cmake -S ffi -B "$out/cmake" -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DMQ_CARGO_PROFILE="$profile" \
        -DMQ_CARGO_TARGET_DIR="$CARGO_TARGET_DIR" -DMQ_CARGO_SELECT= >"$out/cmake.log" &&
        cmake --build "$out/cmake" >>"$out/cmake.log" 2>&1 && cmake --install "$out/cmake" >>"$out/cmake.log"
}
try "the package installs" install_package || finish
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
read -ra shared <<<"$(pkg-config --cflags --libs mq) -Wl,-rpath,$prefix/lib"
read -ra static <<<"-I$prefix/include $prefix/lib/libmq.a $(pkg-config --static --libs-only-l mq | sed 's/-lmq //')"

strict=(-Wall -Wextra -Wpedantic -Werror -g -pthread -D_POSIX_C_SOURCE=200809L)
sources=(ffi/tests/*.c)
build() { # NAME COMPILER DIALECT LINK...
    local name=$1 compiler=$2 dialect=$3 language=c
    shift 3
    [ "$compiler" = g++ ] && language=c++
    try "$name compiles" "$compiler" "-std=$dialect" "${strict[@]}" -x $language "${sources[@]}" -x none "$@" -o "$out/$name"
}
programs=()
build gcc-c99 gcc c99 "${shared[@]}" && programs+=(gcc-c99)
build gcc-c17 gcc c17 "${shared[@]}" && programs+=(gcc-c17)
build g++-c++11 g++ c++11 "${shared[@]}" && programs+=(g++-c++11)
build g++-c++17 g++ c++17 "${shared[@]}" && programs+=(g++-c++17)
build static gcc c17 "${static[@]}" && programs+=(static)
# The programs wait more than they work, memcheck works: the two go side by side, the programs one after the other.
for name in "${programs[@]}"; do run "$name" "$out/$name"; done &
run memcheck valgrind --quiet --leak-check=full --show-leak-kinds=definite,indirect,possible \
    --errors-for-leak-kinds=definite,indirect,possible --error-exitcode=9 --trace-children=no --child-silent-after-fork=yes \
    "$out/gcc-c17"
wait
for name in "${programs[@]}" memcheck; do count "$name"; done

# As a user would use it.
for example in quickstart events; do
    try "$example compiles with pkg-config" gcc -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -Werror "ffi/examples/$example.c" \
        "${shared[@]}" -o "$out/$example" && try "$example runs" "$out/$example"
done
try "memcheck of an example" valgrind --quiet --leak-check=full --errors-for-leak-kinds=definite,indirect,possible --error-exitcode=9 "$out/quickstart"
cmake_example() {
    cmake -S ffi/examples -B "$out/example" -DCMAKE_PREFIX_PATH="$prefix" >>"$out/cmake.log" &&
        cmake --build "$out/example" >>"$out/cmake.log" 2>&1
}
try "an example builds with find_package(mq)" cmake_example &&
    try "it runs, shared" "$out/example/quickstart" && try "it runs, static" "$out/example/quickstart-static"
finish
