. "$SOURCE/tests/test.sh"

# Whoever changes a kernel moves its breakage along; that each is found is the long test's matter.
test_op_sabotage__every_expression_of_the_table_changes_its_file()
{
    grep -v '^#' "$SOURCE/tests/op/sabotage.tsv" | while IFS="$(printf '\t')" read -r row file expression; do
        if sed "$expression" "$SOURCE/$file" | cmp -s - "$SOURCE/$file"; then
            fail "tests/op/sabotage.tsv, $row: '$expression' changes nothing in $file"
        fi
    done
}
