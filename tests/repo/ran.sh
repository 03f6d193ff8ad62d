#!/bin/sh
# usage: ran.sh REQUIREMENTS.tsv LOG...   Fails for every ctest that a done row of the requirements names
# and that has not passed in one of the ctest logs.
set -eu
rows=$1
shift
cat "$@" | awk -F '\t' -v rows="$rows" '
    / Test +#[0-9]+: .* Passed / {
        name = $0
        sub(/.* Test +#[0-9]+: /, "", name)
        sub(/ .*/, "", name)
        passed[name] = 1
    }
    END {
        while ((getline <rows) > 0)
            if ($3 == "done") {
                count = split($4, tests, " ")
                for (i = 1; i <= count; i++)
                    if (!(tests[i] in passed)) {
                        printf "%s: %s has not passed\n", $1, tests[i]
                        bad = 1
                    }
                named += count
            }
        printf "%d tests named by requirements\n", named
        exit bad
    }'
