# D-07: a machine without an OpenCL loader, driver or CLBlast. The program, its libraries and its OpenCL module
# are copied into an empty root, everything of OpenCL left out, and run there.
. "$SOURCE/tests/test.sh"
test_folder
root=$folder/root

# Copies a file to the same place below the root.
copy()
{
    mkdir -p "$root$(dirname "$1")"
    cp -L "$1" "$root$1"
}

# /dev/shm: clang's OpenMP library makes a file there when it starts, and aborts where it cannot.
make_root()
{
    mkdir -p "$root/proc" "$root/dev/shm" "$root/sys" "$root/tmp" "$root/opt/lib" "$root/opt/bin"
    cp "$BUILD/bin/burthen" "$root/opt/bin"
    cp -rL "$BUILD"/lib/libburthen.so.0 "$root/opt/lib"
    [ ! -d "$BUILD/lib/burthen" ] || cp -r "$BUILD/lib/burthen" "$root/opt/lib"
    ldd "$BUILD/bin/burthen" "$BUILD/lib/libburthen.so.0" |
        grep -oE '/[^ ]+\.so[^ ]*' | grep -v "^$BUILD" | sort -u >"$folder/libraries"
    if grep -iE 'opencl|clblast' "$folder/libraries"; then
        fail "program or library link OpenCL themselves"
    fi
    while read -r library; do
        copy "$library"
    done <"$folder/libraries"
    find "$root" -iname '*libOpenCL*' -o -iname '*clblast*' -o -name '*.icd' | grep . && fail "OpenCL got in"
    return 0
}

# What the program finds in its environment, as words for env.
surroundings()
{
    echo HOME=/tmp LD_LIBRARY_PATH=/opt/lib PATH=/opt/bin ${TSAN_OPTIONS:+TSAN_OPTIONS="$TSAN_OPTIONS"} \
        ${OMP_TOOL_LIBRARIES:+OMP_TOOL_LIBRARIES="$OMP_TOOL_LIBRARIES"}
}

# Runs burthen in the root with /proc in place. Who is not root does so in a namespace of his own, which a
# process inside another chroot may not make.
burthen()
{
    if [ "$(id -u)" = 0 ]; then
        [ -e "$root/dev/null" ] || mknod -m 666 "$root/dev/null" c 1 3
        mount -t proc proc "$root/proc"
        status=0
        # shellcheck disable=SC2046 # words
        env -i $(surroundings) "$(PATH=$PATH:/usr/sbin:/sbin command -v chroot)" "$root" /opt/bin/burthen "$@" || status=$?
        umount "$root/proc"
        return $status
    fi
    # shellcheck disable=SC2046 # words
    unshare --map-root-user --mount sh -euc '
        root=$1
        shift
        for place in proc dev sys; do
            mount --rbind "/$place" "$root/$place"
        done
        exec env -i "$@"
    ' sh "$root" $(surroundings) "$(PATH=$PATH:/usr/sbin:/sbin command -v chroot)" "$root" /opt/bin/burthen "$@"
}

test_setup_bare__without_opencl_it_starts_plans_and_trains()
{
    make_root
    burthen devices >"$folder/devices" 2>&1 || fail "devices: $(cat "$folder/devices")"
    cat "$folder/devices"
    grep -qE '^[* ] *cpu' "$folder/devices"
    if grep -qE '^[* ] *cl:' "$folder/devices"; then
        fail "an OpenCL device was found"
    fi
    burthen plan mlp --json >"$folder/plan"
    grep -q '"peak_bytes"' "$folder/plan"
    burthen train mlp data=digits epochs=1 --device auto out=/tmp/run --json >"$folder/train"
    grep -qE '"device": *"cpu"' "$folder/train"
    grep -q '"epochs"' "$folder/train"
}

test_setup_bare__an_opencl_device_asked_for_is_an_error_that_says_why()
{
    make_root
    status=0
    burthen train mlp data=digits epochs=1 --device cl:0 >"$folder/out" 2>&1 || status=$?
    [ "$status" -eq 4 ] || fail "exit $status, not 4: $(cat "$folder/out")"
    grep -q 'cl:0' "$folder/out"
}
