. "$SOURCE/tests/test.sh"
cd "$SOURCE"
test_folder

test_repo_readme__its_example_is_the_first_sample()
{
    awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' README.md >"$folder/example.c"
    [ -s "$folder/example.c" ] || fail "README.md has no C example"
    diff "$folder/example.c" samples/first.c
}

test_repo_readme__the_files_it_links_exist()
{
    grep -oE '\]\([^)]+\)' README.md | tr -d '()]' >"$folder/links"
    [ -s "$folder/links" ] || fail "README.md has no links"
    while read -r link; do
        [ -e "$link" ] || fail "README.md links $link, which does not exist"
    done <"$folder/links"
}

test_repo_readme__every_module_folder_is_in_the_layout()
{
    for module in core/*/ backends/*/; do
        name=$(basename "$module")
        sed -n '/^## Layout/,/^## Where/p' README.md | grep -qw "$name" || fail "README.md's layout lacks $module"
    done
}
