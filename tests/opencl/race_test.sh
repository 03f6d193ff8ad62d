# Every kernel on Oclgrind, a simulator that checks each access for data races and bounds. Our cache of
# compiled programs lies in the test's folder: it does not know of the options given to the simulator.
. "$SOURCE/tests/test.sh"
test_folder
export XDG_CACHE_HOME="$folder"

# simulate LOG OPTION...: runs the small examples; what the simulator finds is in LOG.
simulate() {
    log=$1
    shift
    oclgrind --log "$log" "$@" "$BUILD/bin/test-opencl-small" >"$folder/out" 2>&1 || true
    grep -q 'on Oclgrind' "$folder/out" || fail "not run on Oclgrind: $(tail -5 "$folder/out")"
}

test_opencl_race__no_kernel_has_one_nor_leaves_its_buffers()
{
    simulate "$folder/log" --data-races --check-api
    [ ! -s "$folder/log" ] || fail "$(head -40 "$folder/log")"
    ! grep -q 'FAILED' "$folder/out" || fail "$(cat "$folder/out")"
}

test_opencl_race__a_kernel_without_its_barriers_is_found()
{
    simulate "$folder/log" --data-races --build-options '-Dbarrier(x)='
    grep -q 'data race' "$folder/log" || fail "Oclgrind saw no race: $(cat "$folder/log" "$folder/out")"
}

# Optimised code has instructions that this check of Oclgrind does not know.
test_opencl_race__no_kernel_reads_what_was_not_written()
{
    simulate "$folder/log" --uninitialized --build-options -cl-opt-disable
    [ ! -s "$folder/log" ] || fail "$(head -40 "$folder/log")"
}
