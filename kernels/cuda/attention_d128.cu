constexpr int D = 128;
#include "attention_bf16.cuh"

FORWARD(128, 1, 1)
BACKWARD(128, 1, 256, 1, 32, 32)
