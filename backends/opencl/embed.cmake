# cmake -DOUTPUT=file.c -DSOURCES=a.cl;b.cl -P embed.cmake: writes the sources as byte arrays.
set(arrays "")
set(rows "")
foreach(source ${SOURCES})
  get_filename_component(name ${source} NAME_WE)
  file(READ ${source} hex HEX)
  string(LENGTH "${hex}" digits)
  math(EXPR bytes "${digits} / 2")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," list "${hex}")
  string(REGEX REPLACE "(................................................................................)"
         "\\1\n" list "${list}")
  string(APPEND arrays "static const char ${name}_text[] = {\n${list}0};\n")
  string(APPEND rows "    {\"${name}\", ${name}_text, ${bytes}},\n")
endforeach()
file(WRITE ${OUTPUT}
"/* Made from cl/ by embed.cmake. */
#include \"cl.h\"

${arrays}
const bur__cl_source bur__cl_sources[] = {
${rows}    {NULL, NULL, 0},
};
")
