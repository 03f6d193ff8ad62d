/* The list of backends. A loadable one is lib/burthen/NAME.so beside the library. */
#include "backends.h"
