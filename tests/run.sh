#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# All tests, or a part of them. ctest prints the closing lines.
set -euo pipefail

usage() {
  cat <<'EOF'
usage: tests/run.sh [all|unit|integration|fuzz|lint|tsan|valgrind|quickstart|bench] [CTEST OPTION...]
       tests/run.sh faults [--rounds N] [--seed S] [--only F1,F5] [--list]

  (nothing), all  everything but bench, with a short form of faults
  unit            cmocka tests, gcc, address and undefined behaviour sanitizers
  integration     pytest: the real programs (sanitized), a real PostgreSQL, real clients
  fuzz            each fuzz target: its corpus and a short run (clang, libFuzzer)
  lint            format, tidy, include arrows, headers alone, proto, configuration tables
  tsan            the threaded parts under the thread sanitizer
  valgrind        the gRPC runtime under valgrind
  quickstart      deploy/quickstart.sh --once
  faults          the fault matrix in full (tests/faults); writes tests/faults/RESULTS.md
  bench           creates and reads per second beside pgbench; not part of all

Missing Debian and npm packages are installed. Builds go to build/NAME.
EOF
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
part=${1:-all}
[ $# -gt 0 ] && shift
case $part in
  all | unit | integration | fuzz | lint | tsan | valgrind | quickstart | bench | faults) ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
esac

# shellcheck source=deploy/packages.sh
. deploy/packages.sh
vg_install "${VG_PACKAGES_BUILD[@]}" "${VG_PACKAGES_RUN[@]}" "${VG_PACKAGES_TEST[@]}"
if [ "$part" = faults ]; then vg_install "${VG_PACKAGES_FAULTS[@]}"; fi

# build NAME COMPILER TEST_SETS [CMAKE OPTION...]: configures and builds build/NAME.
build() {
  local name=$1 compiler=$2 sets=$3
  shift 3
  cmake -S . -B "build/$name" -G Ninja -DCMAKE_C_COMPILER="$compiler" -DCMAKE_C_COMPILER_LAUNCHER=ccache \
    -DVG_TEST_SETS="$sets" -DVG_NODE="$root/build/node" "$@" >"build/$name.log" 2>&1 || { tail -n 20 "build/$name.log"; return 1; }
  local start=$SECONDS
  printf 'Building build/%s (%s) ...' "$name" "$compiler"
  ninja -C "build/$name" >"build/$name.log" 2>&1 || { echo; grep -m1 -A40 FAILED "build/$name.log" || tail -n 40 "build/$name.log"; return 1; }
  echo " $((SECONDS - start)) s"
}

node_packages() {
  mkdir -p build/node
  cp tests/integration/node/* build/node/
  if ! cmp -s tests/integration/node/package.json build/node/.installed; then
    (cd build/node && npm install --no-package-lock --no-audit --no-fund --loglevel=error >npm.log 2>&1) || { cat build/node/npm.log; return 1; }
    cp tests/integration/node/package.json build/node/.installed
  fi
}

# True when PART or all of them were asked for; bench and faults only by name.
wants() { [ "$part" = all ] || [[ " $* " == *" $part "* ]]; }

mkdir -p build
trees=()
if wants unit integration lint quickstart bench || [ "$part" = faults ]; then
  node_packages
  if [ "$part" = bench ]; then build release gcc '' -DVG_TESTS=OFF; fi
  if wants unit integration quickstart lint || [ "$part" = faults ]; then
    build asan gcc 'unit;integration;faults;lint;quickstart' -DVG_SANITIZE=address,undefined -DVG_CRASH_POINTS=ON
    trees+=(asan)
  fi
fi
if wants valgrind lint; then
  # valgrind 3.19 does not read clang's DWARF 5.
  build clang clang valgrind -DCMAKE_C_FLAGS=-gdwarf-4
  trees+=(clang)
fi
if wants tsan; then
  build tsan clang tsan -DVG_SANITIZE=thread
  trees+=(tsan)
fi
if wants fuzz; then
  build fuzz clang fuzz -DVG_SANITIZE=address,undefined -DVG_FUZZ=ON -DVG_TESTS=OFF
  trees+=(fuzz)
fi

if [ "$part" = bench ]; then
  exec /usr/bin/python3 tests/bench/bench.py --build build/release "$@"
fi

if [ "$part" = faults ]; then
  exec /usr/bin/python3 tests/faults/run.py --build build/asan "$@"
fi

mkdir -p build/all
printf 'subdirs("%s")\n' "${trees[@]/#/$root/build/}" >build/all/CTestTestfile.cmake
label=()
[ "$part" = all ] || label=(-L "^$part\$")
exec ctest --test-dir build/all --output-on-failure --timeout 1500 -j 2 "${label[@]}" "$@"
