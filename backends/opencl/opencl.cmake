# The OpenCL backend: lib/burthen/opencl.so, opened at run time.
