. "$SOURCE/tests/test.sh"
cd "$SOURCE"
test_folder

# $1: a tree with core and backends.
check_includes()
{
    (cd "$1" && find core backends -name '*.[ch]' -o -name '*.def' | LC_ALL=C sort) >"$folder/files"
    (cd "$1" && grep -nE '^ *# *include *["<]' $(grep '\.[ch]$' "$folder/files")) |
        awk -v table="$SOURCE/cmake/modules.txt" -v files="$folder/files" -f "$SOURCE/tests/repo/include.awk"
}

test_repo_include__every_include_is_in_the_table()
{
    check_includes .
}

# The rule itself is tried: each line below, put into a copy, must turn the check red.
test_repo_include__a_forbidden_include_is_found()
{
    mkdir "$folder/copy"
    cp -r core backends "$folder/copy"
    while read -r file line; do
        cp "$file" "$folder/saved"
        printf '%s\n' "$line" >>"$folder/copy/$file"
        if check_includes "$folder/copy" >"$folder/out"; then
            fail "$line in $file was not found"
        fi
        cp "$folder/saved" "$folder/copy/$file"
    done <<EOF2
core/tensor/tensor.c #include <burthen/graph.h>
core/base/alloc.c #include <burthen/tensor.h>
core/cli/main.c #include "base/context.h"
core/op/op.c #include <zlib.h>
core/op/op.c #include <sqlite3.h>
EOF2
}
