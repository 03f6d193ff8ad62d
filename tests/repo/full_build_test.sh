# Builds without a part lack that part's tests: this is compared in full builds (see tests/CMakeLists.txt).
. "$SOURCE/tests/test.sh"
rows=$SOURCE/tests/requirements.tsv
test_folder

test_repo_full_build__every_test_named_by_a_requirement_exists()
{
    ctest --test-dir "$BUILD" -N | sed -n 's/^ *Test *#[0-9]*: //p' | LC_ALL=C sort >"$folder/tests"
    awk -F '\t' '$3 == "done" { n = split($4, t, " "); for (i = 1; i <= n; i++) print t[i] }' "$rows" |
        LC_ALL=C sort -u >"$folder/named"
    [ -s "$folder/named" ] || fail "no test is named"
    missing=$(LC_ALL=C comm -13 "$folder/tests" "$folder/named")
    [ -z "$missing" ] || fail "no such tests: $missing"
}
