/* Preloaded into the tests of a build with AddressSanitizer (cmake/presets/asan.cmake). OpenCL drivers are unloaded
 * before leaks are looked for; their leaks would then have no name that tests/lsan.supp could know. */
int dlclose(void *library);

int dlclose(void *library)
{
    (void)library;
    return 0;
}
