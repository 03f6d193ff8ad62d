# oneDNN's library is opened at run time; where it cannot be (Debian's needs an OpenCL loader), the
# portable kernels do everything.
. "$SOURCE/tests/test.sh"
test_folder
: >"$folder/libdnnl.so.2" # no library: the loader finds it first and fails
: >"$folder/libdnnl.so.3"

test_cpu_onednn_library__without_it_the_portable_kernels_run()
{
    LD_LIBRARY_PATH=$folder "$BUILD/bin/test-cpu-run"
    LD_LIBRARY_PATH=$folder "$BUILD/bin/burthen" bench cnn --device cpu
    if LD_LIBRARY_PATH=$folder "$BUILD/bin/test-cpu-onednn" \
        test_cpu_onednn__carries_out_large_products_and_convolutions >"$folder/out" 2>&1; then
        fail "oneDNN was used all the same"
    fi
}

test_cpu_onednn_library__it_is_not_linked()
{
    if LC_ALL=C ldd "$BUILD/lib/libburthen.so" | grep -E 'dnnl|OpenCL'; then
        fail "the library needs what must be optional"
    fi
}
