constexpr int D = 80;
#include "attention_bf16.cuh"

FORWARD(80, 1, 2)
FORWARD(80, 2, 2)
BACKWARD(80, 1, 256, 1, 64, 16)
