#!/bin/sh
# From a bare machine to the main job (run) or to the tests (test), without questions.
#
#   sh cmake/setup.sh run       builds the program, measures the devices, plans and trains a CNN
#   sh cmake/setup.sh test      builds with gcc, warnings as errors, and runs the tests
#   sh cmake/setup.sh packages  prints the packages that both install
#
# On Debian 12 missing packages are installed, with sudo when not root; elsewhere they are listed for
# you to install. This is the only place that names them. Everything is built below build/.
set -eu

# Two kinds: what compiles and links, and a CPU device of OpenCL so that the OpenCL path can be tried
# on a machine without a GPU. Tests add a second OpenCL implementation, a kernel checker, a second
# compiler with its OpenMP runtime, and C++ to prove the headers.
build_packages="gcc libc6-dev cmake ninja-build pkgconf
    ocl-icd-opencl-dev libclblast-dev libdnnl-dev
    libjansson-dev libyaml-dev libpopt-dev zlib1g-dev uthash-dev"
run_packages="$build_packages pocl-opencl-icd dataset-fashion-mnist"
test_packages="$run_packages mesa-opencl-icd oclgrind libcmocka-dev g++ clang libomp-dev"

die() {
    echo "setup.sh: $*" >&2
    exit 1
}

say() {
    printf '\n== %s\n' "$*"
}

# Runs a command and shows it, as a user would type it.
show() {
    printf '\n$ %s\n' "$*"
    "$@"
}

is_debian_12() {
    [ -r /etc/os-release ] && (. /etc/os-release && [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ])
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    else
        command -v sudo >/dev/null || die "not root and no sudo; install these packages: $missing"
        sudo "$@"
    fi
}

install_packages() {
    if ! is_debian_12; then
        say "Not Debian 12. Needed, under Debian's names:"
        printf '%s ' $1
        echo
        return
    fi
    missing=
    for package in $1; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
        [ "$state" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    say "Installing:$missing"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
        >"${TMPDIR:-/tmp}/burthen-setup.$$.log" 2>&1 || {
        cat "${TMPDIR:-/tmp}/burthen-setup.$$.log" >&2
        die "apt-get install failed"
    }
    rm -f "${TMPDIR:-/tmp}/burthen-setup.$$.log"
}

run() {
    install_packages "$run_packages"
    say "Building"
    cmake -C cmake/presets/release.cmake -B build/release >/dev/null
    cmake --build build/release
    burthen=build/release/bin/burthen
    show "$burthen" devices --measure
    show "$burthen" plan cnn
    show "$burthen" train cnn data=fashion-mnist epochs=1
}

test_() {
    install_packages "$test_packages"
    say "Building"
    cmake -C cmake/presets/default.cmake -B build/default -D CMAKE_C_COMPILER=gcc >/dev/null
    cmake --build build/default
    say "Testing"
    # tests and whatever else runs share the processors, see backends/cpu/README.md
    export GOMP_SPINCOUNT=1000
    ctest --test-dir build/default -j "$(nproc)" -LE long --output-on-failure
}

cd "$(dirname "$0")/.."
case "${1:-}" in
run) run ;;
test) test_ ;;
packages) echo $test_packages ;;
*) die "usage: sh cmake/setup.sh run|test|packages" ;;
esac
