#!/usr/bin/env bash
# Runs the tests of the package that build.sh packed. With an argument: the tests whose name contains it.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=../.ci/env
source "$root/.ci/env"
bin=$root/build/dotnet/bin
MQ_EXAMPLE="$(echo "$bin"/Orders/Release/*/Orders.dll)" exec dotnet "$(echo "$bin"/LibMq.Tests/Release/*/LibMq.Tests.dll)" "$@"
