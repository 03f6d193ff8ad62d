. "$SOURCE/tests/test.sh"
cd "$SOURCE/core/include"

# Compiles every public header alone. $1: compiler; the rest: its language and standard.
each_alone()
{
    for header in burthen/*.h; do
        echo "#include <$header>" |
            "$@" -fsyntax-only -pedantic -Wall -Wextra -Wshadow -Werror -I . -I ../op - ||
            fail "$header does not compile alone with $*"
    done
}

test_repo_header__each_compiles_alone_as_c11_and_cpp17_with_gcc()
{
    each_alone gcc -x c -std=c11
    each_alone g++ -x c++ -std=c++17
}

test_repo_header__each_compiles_alone_as_c11_and_cpp17_with_clang()
{
    each_alone clang -x c -std=c11
    each_alone clang++ -x c++ -std=c++17
}
