# tests/requirements.tsv: id, kind, state (done, open, readme), where. Of a done row: the names of the ctests that
# show it; of a readme row, allowed for the kinds context and table only: the README's section.
. "$SOURCE/tests/test.sh"
rows=$SOURCE/tests/requirements.tsv
test_folder

test_repo_requirements__every_id_has_one_row_in_order()
{
    { seq -f 'D-%02.0f' 1 9 && seq -f 'S-%03.0f' 1 220; } >"$folder/wanted"
    cut -f 1 "$rows" >"$folder/found"
    diff "$folder/wanted" "$folder/found"
}

# The numbers of rows of each kind are those of the source documents' list.
test_repo_requirements__the_kinds_are_those_of_the_documents()
{
    grep '^S' "$rows" | cut -f 2 | LC_ALL=C sort | uniq -c | awk '{ n = $1; sub(/^ *[0-9]+ /, ""); print $0 ": " n }' \
        >"$folder/found"
    diff - "$folder/found" <<END
API: 13
OOM remedy: 4
activation: 7
callback: 1
conflict: 15
context: 10
data loading: 6
diagnosis: 2
experiment: 32
init: 1
layer: 9
loss: 5
metric: 2
model: 5
monitoring: 7
optimizer: 14
planner: 9
plot: 4
recommendation: 22
regulariser: 4
rule: 28
schedule: 1
search: 5
table: 7
workflow: 7
END
}

test_repo_requirements__states_and_places_are_well_formed()
{
    awk -F '\t' '
        NF != 4 { print $0 ": not 4 fields"; bad = 1 }
        $3 !~ /^(done|open|readme)$/ { print $1 ": state " $3; bad = 1 }
        $3 == "open" && $4 != "-" { print $1 ": open, but shown by " $4; bad = 1 }
        $3 != "open" && $4 == "-" { print $1 ": " $3 ", but shown by nothing"; bad = 1 }
        $3 == "readme" && $2 != "context" && $2 != "table" { print $1 ": a row of kind " $2 " needs a test"; bad = 1 }
        END { exit bad }' "$rows"
}

# A README row names its section, and the section names the row.
test_repo_requirements__readme_sections_exist_and_name_their_rows()
{
    awk -F '\t' '$3 == "readme" { print $1 "\t" $4 }' "$rows" >"$folder/readme"
    [ -s "$folder/readme" ] || fail "no readme rows"
    while IFS="$(printf '\t')" read -r id section; do
        awk -v section="## $section" '/^## / { on = $0 == section } on' "$SOURCE/README.md" >"$folder/section"
        grep -q "($id)" "$folder/section" || fail "README.md, section '$section', does not name $id"
    done <"$folder/readme"
}
