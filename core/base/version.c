/* Version and build options. */
#include <burthen/base.h>

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

#ifndef BUR_BUILD_ONEDNN
#define BUR_BUILD_ONEDNN "no oneDNN"
#endif
#ifndef BUR_BUILD_OPENCL
#define BUR_BUILD_OPENCL "no OpenCL"
#endif

const char *bur_version(void)
{
    return TEXT(BUR_VERSION_MAJOR) "." TEXT(BUR_VERSION_MINOR) "." TEXT(BUR_VERSION_PATCH);
}

const char *bur_build_info(void)
{
    return BUR_BUILD_ONEDNN ", " BUR_BUILD_OPENCL ", "
#if defined(__clang__)
                            "clang " TEXT(__clang_major__) "." TEXT(__clang_minor__);
#else
                            "gcc " TEXT(__GNUC__) "." TEXT(__GNUC_MINOR__);
#endif
}
