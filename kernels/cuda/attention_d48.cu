constexpr int D = 48;
#include "attention_bf16.cuh"

FORWARD(48, 1, 2)
FORWARD(48, 2, 3)
BACKWARD(48, 1, 128, 3, 64, 16)
BACKWARD(48, 2, 256, 1, 64, 16)
