# The installed tree, used by a project outside of this one.
. "$SOURCE/tests/test.sh"
test_folder
prefix=$folder/prefix
cmake --install "$BUILD" --prefix "$prefix" >/dev/null
cp -r "$SOURCE/tests/package/consumer" "$folder"
cd "$folder/consumer"

check_output()
{
    said=$("$@")
    [ "$said" = "burthen 0.1.0: relu gives 0 2" ] || fail "$1 printed '$said'"
}

test_package_install__a_cmake_project_finds_builds_and_runs()
{
    cmake -S . -B build -G Ninja -D CMAKE_PREFIX_PATH="$prefix" >/dev/null
    cmake --build build >/dev/null
    check_output build/consumer
}

test_package_install__a_newer_minor_version_is_not_offered()
{
    sed -i 's/burthen 0.1 /burthen 0.2 /' CMakeLists.txt
    if cmake -S . -B build -G Ninja -D CMAKE_PREFIX_PATH="$prefix" >out 2>&1; then
        fail "0.1.0 was taken for 0.2"
    fi
    grep -q 'compatible with requested version' out
}

test_package_install__pkg_config_compiles_and_runs_after_a_move()
{
    mv "$prefix" "$folder/moved"
    PKG_CONFIG_PATH=$(dirname "$(find "$folder/moved" -name burthen.pc)")
    export PKG_CONFIG_PATH
    # shellcheck disable=SC2046,SC2086 # lists of flags
    $CC $CFLAGS -std=c11 -pedantic -Wall -Wextra -Werror consumer.c -o consumer $(pkg-config --cflags --libs burthen)
    LD_LIBRARY_PATH=$(pkg-config --variable=libdir burthen)
    export LD_LIBRARY_PATH
    check_output ./consumer
}

test_package_install__the_program_runs_from_the_prefix()
{
    "$prefix/bin/burthen" --version | grep -q 'burthen 0\.1\.0'
    "$prefix/bin/burthen" devices | grep -qE '^[* ] *cpu'
}

test_package_install__the_tree_has_library_module_headers_and_row_table()
{
    library=$(dirname "$(find "$prefix" -name libburthen.so.0)")
    for file in "$prefix/include/burthen/burthen.h" "$prefix/include/burthen/ops.def" \
        "$library/pkgconfig/burthen.pc" "$library/cmake/burthen/burthenConfig.cmake"; do
        [ -f "$file" ] || fail "${file#"$prefix/"} is not installed"
    done
    if grep -q '^BURTHEN_WITH_OPENCL:BOOL=ON' "$BUILD/CMakeCache.txt"; then
        [ -f "$library/burthen/opencl.so" ] || fail "burthen/opencl.so is not beside libburthen.so.0"
    fi
}

# D-01: OpenCL comes through the ICD loader alone, and only the module knows it.
test_package_install__only_the_module_links_opencl_and_nothing_of_a_vendor()
{
    library=$(dirname "$(find "$prefix" -name libburthen.so.0)")
    needed "$prefix/bin/burthen" >"$folder/needed"
    needed "$library/libburthen.so.0" >>"$folder/needed"
    if grep -iE 'opencl|clblast|cuda|nvidia|amd|hip|level_zero|sycl|mkl|pocl' "$folder/needed"; then
        fail "program or library link the above"
    fi
    for module in "$library"/burthen/*.so; do
        [ -f "$module" ] || continue
        unknown=$(needed "$module" | grep -vE '^(libburthen|libOpenCL|libclblast|libc|libm|ld-linux.*|lib[a-z]*san|libgcc_s)\.so' || true)
        [ -z "$unknown" ] || fail "$module links $unknown"
    done
}

needed()
{
    readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}
