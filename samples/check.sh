#!/bin/sh
# usage: check.sh PATTERN... -- PROGRAM ARGUMENT...
# The program must end well and print a line for each pattern (grep -E).
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
while [ "$1" != -- ]; do
    printf '%s\n' "$1" >>"$folder/patterns"
    shift
done
shift
"$@" >"$folder/output"
cat "$folder/output"
while read -r pattern; do
    grep -Eq -e "$pattern" "$folder/output" || {
        echo "failed: no line is like: $pattern" >&2
        exit 1
    }
done <"$folder/patterns"
