. "$SOURCE/tests/test.sh"
test_folder

# Runs `sabotage.tsv` on a copy of the tree: test, file and sed expression; each expression must change
# its file, the result must compile, and the test must be green before and red after.
# The copy is built without oneDNN, so that the portable kernels are those that run.

configure_copy()
{
    mkdir "$folder/tree"
    tar -C "$SOURCE" --exclude=./build --exclude=./.git -cf - . | tar -C "$folder/tree" -xf -
    cmake -S "$folder/tree" -B "$folder/build" -DCMAKE_C_COMPILER="$CC" -DBURTHEN_WITH_ONEDNN=OFF \
        -DBURTHEN_WITH_OPENCL="$opencl" -DBURTHEN_SAMPLES=OFF -DCMAKE_BUILD_TYPE=Debug -DCMAKE_C_FLAGS_DEBUG=-O1 >"$folder/log"
}

build_copy()
{
    targets='test-op-row test-op-gradient'
    test "$opencl" = OFF || targets="$targets burthen-opencl"
    cmake --build "$folder/build" --parallel --target $targets >"$folder/log" 2>&1
}

# $1: op.row.relu
run_row()
{
    program=${1%.*}
    XDG_CACHE_HOME=$folder/cache "$folder/build/bin/test-${program%%.*}-${program#*.}" "${1##*.}" \
        >"$folder/out" 2>&1
}

# The table without comments, and without kernels that this build has not; with BURTHEN_LONG_FRACTION
# one in so many entries.
entries()
{
    grep -v '^#' "$SOURCE/tests/op/sabotage.tsv" |
        if test "$opencl" = OFF; then grep -v "$(printf '\t')cl/"; else cat; fi |
        awk -v fraction="${BURTHEN_LONG_FRACTION:-1}" 'NR % fraction == 1 || fraction == 1'
}

test_op_sabotage_long__every_broken_kernel_turns_its_row_red()
{
    opencl=$(sed -n 's/^BURTHEN_WITH_OPENCL:BOOL=//p' "$BUILD/CMakeCache.txt")
    configure_copy
    build_copy || { tail -40 "$folder/log"; fail "the copy does not build"; }
    for row in $(entries | cut -f 1 | sort -u); do
        run_row "$row" || { cat "$folder/out"; fail "$row is red before it is broken"; }
    done

    survivors=0 total=0
    entries >"$folder/entries"
    while IFS="$(printf '\t')" read -r row file expression; do
        total=$((total + 1))
        cp "$folder/tree/$file" "$folder/saved"
        sed "$expression" "$folder/saved" >"$folder/tree/$file"
        if cmp -s "$folder/saved" "$folder/tree/$file"; then
            fail "$file: '$expression' changes nothing"
        fi
        build_copy || { tail -40 "$folder/log"; fail "$file: '$expression' does not compile"; }
        if run_row "$row"; then
            survivors=$((survivors + 1))
            echo "SURVIVED $row $file $expression"
        else
            echo "found    $row $file $expression"
            grep -m 1 'ERROR: ' "$folder/out" || tail -3 "$folder/out"
        fi
        cp "$folder/saved" "$folder/tree/$file"
    done <"$folder/entries"
    test "$total" -gt 0 || fail "the table is empty"
    test "$survivors" -eq 0 || fail "$survivors of $total broken kernels were not found"
}
