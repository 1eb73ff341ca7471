constexpr int D = 96;
#include "attention_bf16.cuh"

FORWARD(96, 1, 2)
BACKWARD(96, 1, 256, 1, 32, 32)
