. "$SOURCE/tests/test.sh"
cd "$SOURCE"

# D-09. What git ignores (build folders, runs) may lie there too.
test_repo_layout__the_top_level_is_as_given()
{
    found=$(ls | grep -vxE 'build(-.*)?|runs|shared' | LC_ALL=C sort | tr '\n' ' ')
    wanted='CMakeLists.txt LICENSE README.md backends cl cmake core samples tests '
    [ "$found" = "$wanted" ] || fail "top level is '$found', not '$wanted'"
}

test_repo_layout__every_module_has_a_readme_of_at_most_60_lines()
{
    for module in core/*/ backends/*/ cl/; do
        [ "$module" = core/include/ ] && continue
        [ -f "${module}README.md" ] || fail "${module}README.md is missing"
        lines=$(wc -l <"${module}README.md")
        [ "$lines" -le 60 ] || fail "${module}README.md has $lines lines"
    done
}

# Bracketed letters keep the patterns from finding themselves.
test_repo_layout__no_file_names_a_machine_or_a_registry()
{
    if grep -rnIE --exclude-dir=.git --exclude-dir='build*' --exclude-dir=runs --exclude-dir=shared \
        '/[w]ork/|/[r]oot/|/tmp/[w]/|deb\.[d]ebian\.org|[p]ypi\.org' .; then
        fail "the lines above name a machine's paths or a registry"
    fi
}
