# Compares the #include lines on standard input (FILE:LINE:TEXT, files sorted) with cmake/modules.txt.
# Variables: table (its path), files (a list of every .c, .h and .def file, one a line).
function complain(text)
{
    printf "%s: %s\n", $0, text
    bad = 1
}

# The module of a file of this tree: that of its public header's name, else of its folder.
function module_of(path,    name)
{
    if (path ~ /^core\/include\/burthen\//) {
        name = path
        sub(/^.*\//, "", name)
        sub(/\.h$/, "", name)
        return header[name]
    }
    sub(/\/[^\/]*$/, "", path)
    return folder[path]
}

# "../base/size.h" in core/tensor is core/base/size.h.
function normal(path)
{
    while (sub(/[^\/]+\/\.\.\//, "", path))
        ;
    return path
}

function resolve(from, name,    place, i)
{
    sub(/[^\/]*$/, "", from)
    split(from " core/  core/include/ core/op/", place, " ")
    if (normal(from name) in exists)
        return normal(from name)
    for (i in place)
        if (normal(place[i] name) in exists)
            return normal(place[i] name)
    return name in exists ? name : ""
}

function check_own(file, target,    from, to)
{
    from = module_of(file)
    to = module_of(target)
    if (to == "")
        complain(target " belongs to no module")
    else if (from != to && !((from, to) in uses))
        complain(from " may not include " to)
    else if (from != to && (from in public_only) && target !~ /^core\/include\// && to != "backends" &&
             target != "core/op/ops.def")
        complain(from " may include public headers only, not " target)
}

function check_foreign(file, name,    place, count, i, found)
{
    if (name in system_header)
        return
    count = split(foreign[name], place, " ")
    for (i = 1; i <= count; i++)
        if (index(file, place[i]) == 1)
            found = place[i]
    if (found == "")
        complain("cmake/modules.txt does not allow " name " here")
    else if (++sites[name, found] > 1)
        complain("second include site of " name " in " found)
}

BEGIN {
    while ((getline line <files) > 0)
        exists[line] = 1
    while ((getline line <table) > 0) {
        n = split(line, word, " ")
        if (word[1] == "module") {
            if (word[3] != "core/include")
                folder[word[3]] = word[2]
            for (i = 4; i <= n; i++)
                header[word[i]] = word[2]
        }
        for (i = 3; i <= n; i++) {
            if (word[1] == "uses")
                uses[word[2], word[i]] = 1
            if (word[1] == "foreign")
                foreign[word[2]] = foreign[word[2]] " " word[i]
        }
        if (word[1] == "public")
            public_only[word[2]] = 1
        for (i = 2; i <= n; i++)
            if (word[1] == "system")
                system_header[word[i]] = 1
    }
}

{
    file = $0
    sub(/:.*/, "", file)
    name = $0
    sub(/^[^"<]*["<]/, "", name)
    sub(/[">].*/, "", name)
    count++
    if (module_of(file) == "")
        complain(file " belongs to no module")
    else if (name ~ /^burthen\//)
        check_own(file, "core/include/" name)
    else if ((target = resolve(file, name)) != "")
        check_own(file, target)
    else
        check_foreign(file, name)
}

END {
    if (count < 50) {
        print "only " count " includes found"
        bad = 1
    }
    exit bad
}
