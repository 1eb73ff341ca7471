constexpr int D = 32;
#include "attention_bf16.cuh"

FORWARD(32, 1, 2)
FORWARD(32, 2, 4)
BACKWARD(32, 1, 128, 3, 64, 16)
BACKWARD(32, 2, 256, 1, 64, 16)
