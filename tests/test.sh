# What every test script includes: . "$SOURCE/tests/test.sh". The script runs under sh -eu, so a command
# that fails fails the test. SOURCE, BUILD, CC and CFLAGS come from tests/CMakeLists.txt.

fail() {
    echo "failed: $*" >&2
    exit 1
}

# A folder for this test, removed at its end.
test_folder() {
    folder=$(mktemp -d "${TMPDIR:-/tmp}/burthen-test.XXXXXX")
    trap 'rm -rf "$folder"' EXIT
}
