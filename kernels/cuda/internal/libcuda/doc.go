// Package libcuda is what programs with the tag cuda link instead of NVIDIA's libcuda.so.1: functions of the same names that open the real one when first
// called. So a program needs no package of NVIDIA's to be built, starts on every machine, and finds the driver where there is one.
//
// libcuda.a beside it is an archive of nothing. github.com/mumax/3/cuda/cu asks the linker for -lcuda, and that has to be found.
package libcuda
