#pragma once

// libcuda_problem is why there is no driver on this machine, as dlopen says it, or 0.
const char *libcuda_problem(void);
