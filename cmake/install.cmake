# Installation: program, library, module, headers, CMake package, pkg-config.
