#!/usr/bin/env python3
"""PyTorch's products (cuBLAS) and attention (SDPA: cuDNN, flash or whatever is fastest) at the shapes of kernels/cuda/bench_test.go, in the form of
Go's benchmarks and under the same names: bench/gpu.sh puts both side by side.  --device cpu with --small tries the program out."""
import argparse
import contextlib
import statistics
import time

import torch
import torch.nn.functional as F


def seconds(run, device, repeat):
    """The median time of a run, in seconds."""
    for _ in range(3):
        run()
    if device.type != "cuda":
        times = []
        for _ in range(3):
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        return statistics.median(times)
    torch.cuda.synchronize()
    rounds = []
    for _ in range(3):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        for _ in range(repeat):
            run()
        end.record()
        end.synchronize()
        rounds.append(start.elapsed_time(end) / 1e3 / repeat)
    return statistics.median(rounds)


def say(name, t, operations, note=""):
    print(f"BenchmarkOperations/{name}\t1\t{t * 1e9:.0f} ns/op\t{t * 1e6:.2f} µs\t{operations / t / 1e12:.2f} TFLOP/s{note}", flush=True)


def products(device, repeat, small):
    rows, c, h, k, students, bottleneck = (14, 64, 128, 512, 4, 32) if small else (44160, 384, 1536, 65536, 640, 256)
    layers = [(3 * c, c), (c, c), (h, c), (c, h)]
    noise = lambda *shape, dtype=torch.bfloat16: (torch.randn(*shape, device=device) / 8).to(dtype)

    def product(label, form, m, n, k, dtype=torch.bfloat16):
        a = noise(k, m, dtype=dtype).t() if form[0] == "T" else noise(m, k, dtype=dtype)
        b = noise(n, k, dtype=dtype).t() if form[1] == "T" else noise(k, n, dtype=dtype)
        out = torch.empty(m, n, device=device, dtype=dtype)
        say(f"Gemm/{label}/{form}/{m}x{n}x{k}", seconds(lambda: torch.mm(a, b, out=out), device, repeat), 2 * m * n * k)

    for n, i in layers:
        product("bf16", "NT", rows, n, i)
    for n, i in layers:
        product("bf16", "NN", rows, i, n)
    for n, i in layers:
        product("bf16", "TN", n, i, rows)
    product("bf16", "NT", students, k, bottleneck)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
        product("tf32", "NT", rows, h, c, torch.float32)
        torch.backends.cuda.matmul.allow_tf32 = False
    product("f32", "NT", rows, h, c, torch.float32)


def attention(device, repeat, small):
    """Forward, and forward with backward less forward, of each backend; the fastest counts."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    shapes = [(2, 2, 37, 64)] if small else [(128, 6, 197, 64), (512, 6, 37, 64), (32, 6, 785, 64), (128, 12, 197, 64)]
    backends = [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION] if device.type == "cuda" else [None]
    for b, heads, n, d in shapes:
        qkv = torch.randn(b, n, 3, heads, d, device=device).to(torch.bfloat16).requires_grad_()
        dy = torch.randn(b, heads, n, d, device=device).to(torch.bfloat16)
        found = {}
        for backend in backends:
            with sdpa_kernel(backend) if backend else contextlib.nullcontext():
                try:
                    q, k, v = qkv.permute(2, 0, 3, 1, 4)

                    def forward():
                        with torch.no_grad():
                            return F.scaled_dot_product_attention(q, k, v)

                    y = F.scaled_dot_product_attention(q, k, v)

                    def backward():
                        torch.autograd.grad(y, (q, k, v), dy, retain_graph=True)

                    found[str(backend).split(".")[-1]] = seconds(forward, device, repeat), seconds(backward, device, repeat)
                except RuntimeError as e:
                    print(f"# attention {b}x{heads}x{n}x{d}: {backend}: {str(e).splitlines()[0]}", flush=True)
        for i, (name, times) in enumerate((("AttentionForward", 4), ("AttentionBackward", 10))):
            if found:
                best = min(found, key=lambda x: found[x][i])
                say(f"{name}/bf16/{b}x{heads}x{n}x{d}", found[best][i], times * b * heads * n * n * d, f"\t# {best}")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--device", default="cuda")
    p.add_argument("--repeat", type=int, default=50)
    p.add_argument("--small", action="store_true")
    p.add_argument("--only", choices=["products", "attention"])
    a = p.parse_args()
    device = torch.device(a.device)
    print(f"# PyTorch {torch.__version__}, {torch.cuda.get_device_name() if device.type == 'cuda' else device}")
    if a.only != "attention":
        products(device, a.repeat, a.small)
    if a.only != "products":
        attention(device, a.repeat, a.small)


main()
