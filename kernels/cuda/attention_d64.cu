constexpr int D = 64;
#include "attention_bf16.cuh"

FORWARD(64, 1, 2)
FORWARD(64, 2, 3)
BACKWARD(64, 1, 128, 3, 64, 32)
BACKWARD(64, 2, 256, 1, 64, 32)
