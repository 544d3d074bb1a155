#!/usr/bin/env bash
# Packs the NuGet package into build/dotnet/packages and builds what uses it: tests, example, scenario runner.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target}
# shellcheck source=../.ci/env
source .ci/env

cargo build --release --locked
out=$root/build/dotnet
rm -rf "$out"

# The compiler of the SDK 3.1 wants OpenSSL 1.1; nothing else here does.
compile() {
    LD_LIBRARY_PATH="${MQ_DOTNET_OPENSSL:-}" dotnet "$1" -c Release "${@:2}" --nologo -v:minimal -nodeReuse:false -p:UseSharedCompilation=false
}
mkdir -p "$out/native"
strip --strip-unneeded -o "$out/native/libmq.so" "$CARGO_TARGET_DIR/release/libmq.so"
compile pack dotnet/LibMq/LibMq.csproj -o "$out/packages" "-p:MqNative=$out/native/libmq.so"
compile build dotnet/tests/LibMq.Tests/LibMq.Tests.csproj
compile build dotnet/examples/Orders/Orders.csproj
compile build tests/runners/dotnet/Runner.csproj
