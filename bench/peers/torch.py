#!/usr/bin/env python3
"""The work that internal/measure lists, in PyTorch as a careful user would write it, in the form of Go's benchmarks.

    torch.py CASES step|embed|attention|heads|products|pictures [--threads N] [--only NAME] [--bf16] [--compile] [--list]

CASES is the folder that `go run ./bench/peers/cases` has written. One process measures one thing, so that its peak memory is its own: `step`
and `embed` want --only, and --list prints the names. bench/peers/run sets the environment that PyTorch is fastest in and calls this.

The step is that of the reference: teacher and student, one backbone pass for each size of crop, cross-entropy of all pairs, clipping of every
tensor by its own norm, AdamW in two groups, the teacher's moving average. Fused attention, foreach optimizers and torch.compile are used where
the installed version has them.
"""
import argparse, contextlib, io, json, math, os, resource, sys, time

# A program called torch.py would import itself.
sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]
import torch
import torch.nn as nn
import torch.nn.functional as F

SDPA = getattr(F, "scaled_dot_product_attention", None)


class Block(nn.Module):
    def __init__(self, dim, heads, drop):
        super().__init__()
        self.heads, self.drop = heads, drop
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def path(self, x):
        if not (self.training and self.drop):
            return x
        keep = 1 - self.drop
        return x * (torch.rand(len(x), 1, 1) < keep).to(x.dtype) / keep

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = attend(q, k, v)
        x = x + self.path(self.proj(a.transpose(1, 2).reshape(b, n, d)))
        return x + self.path(self.fc2(F.gelu(self.fc1(self.norm2(x)))))


def attend(q, k, v):
    return SDPA(q, k, v) if SDPA else (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v


class VisionTransformer(nn.Module):
    def __init__(self, c, size, drop=0.0):
        super().__init__()
        d, depth = c["Dim"], c["Depth"]
        self.patch, self.grid, self.dim = c["Patch"], size // c["Patch"], d
        self.embed = nn.Conv2d(3, d, self.patch, self.patch)
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, d)), nn.Parameter(torch.randn(1, self.grid**2 + 1, d) * 0.02)
        self.blocks = nn.ModuleList(Block(d, c["Heads"], drop * i / max(1, depth - 1)) for i in range(depth))
        self.norm = nn.LayerNorm(d, eps=1e-6)

    def forward(self, x):
        g = x.shape[-1] // self.patch
        pos = self.pos
        if g != self.grid:
            maps = self.pos[:, 1:].reshape(1, self.grid, self.grid, self.dim).permute(0, 3, 1, 2)
            maps = F.interpolate(maps.float(), size=(g, g), mode="bicubic")
            pos = torch.cat((self.pos[:, :1], maps.permute(0, 2, 3, 1).reshape(1, g * g, self.dim)), 1)
        x = torch.cat((self.cls.expand(len(x), -1, -1), self.embed(x).flatten(2).transpose(1, 2)), 1) + pos
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 0]


class Network(nn.Module):
    def __init__(self, c, drop=0.0):
        super().__init__()
        self.backbone = VisionTransformer(c, c["Global"], drop)
        h, b = c["Hidden"], c["Bottleneck"]
        self.mlp = nn.Sequential(nn.Linear(c["Dim"], h), nn.GELU(), nn.Linear(h, h), nn.GELU(), nn.Linear(h, b))
        self.v = nn.Parameter(torch.randn(c["K"], b) / math.sqrt(b))

    def forward(self, groups):
        z = self.mlp(torch.cat([self.backbone(g) for g in groups]))
        return F.linear(F.normalize(z, dim=-1), F.normalize(self.v, dim=-1))


def training_step(c, auto, wrap):
    globals_, views = 2, 2 + c["Locals"]
    student, teacher = Network(c, 0.1), Network(c)
    teacher.load_state_dict(student.state_dict())
    teacher.requires_grad_(False)
    ps, pt = list(student.parameters()), list(teacher.parameters())
    groups = [{"params": [p for p in ps if p.ndim > 1]}, {"params": [p for p in ps if p.ndim == 1], "weight_decay": 0.0}]
    try:
        opt = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.04, fused=True)
    except (RuntimeError, TypeError):
        opt = torch.optim.AdamW(groups, lr=1e-4, weight_decay=0.04, foreach=True)
    crops = [torch.randn(globals_ * c["Batch"], 3, c["Global"], c["Global"]), torch.randn(c["Locals"] * c["Batch"], 3, c["Local"], c["Local"])]
    center = torch.zeros(1, c["K"])
    s_net, t_net = wrap(student), wrap(teacher)

    def step():
        with torch.no_grad(), auto():
            t = t_net(crops[:1]).float()
        with auto():
            s = s_net(crops)
        q = ((t - center) / 0.04).softmax(-1).chunk(globals_)
        logs = (s.float() / 0.1).log_softmax(-1).chunk(views)
        pairs = [(i, j) for i in range(globals_) for j in range(views) if i != j]
        loss = sum(-(q[i] * logs[j]).sum(-1).mean() for i, j in pairs) / len(pairs)
        center.mul_(0.9).add_(t.mean(0, keepdim=True), alpha=0.1)
        opt.zero_grad(set_to_none=True)
        loss.backward()
        grads = [p.grad for p in ps]
        if hasattr(torch, "_foreach_norm"):
            torch._foreach_mul_(grads, [(3.0 / (n + 1e-6)).clamp(max=1.0) for n in torch._foreach_norm(grads)])
        else:
            for g in grads:
                g.mul_((3.0 / (g.norm() + 1e-6)).clamp(max=1.0))
        opt.step()
        with torch.no_grad():
            torch._foreach_mul_(pt, 0.996)
            torch._foreach_add_(pt, [p.detach() for p in ps], alpha=0.004)
        return loss

    return step


def times(f, seconds, least, warm=2):
    """How long runs of f take, the shortest first: for about so many seconds and at least so many runs."""
    for _ in range(warm):
        f()
    out, start = [], time.perf_counter()
    while len(out) < least or time.perf_counter() - start < seconds:
        t = time.perf_counter()
        f()
        out.append(time.perf_counter() - t)
    return sorted(out)


def line(name, n, seconds, **metrics):
    figures = " ".join(f"{v:.4g} {k}" for k, v in metrics.items())
    print(f"BenchmarkPeer/{name} {n} {seconds * 1e9:.0f} ns/op {figures}", flush=True)


def whole(name, step, images, flops):
    t = times(step, 8, 5)
    median = t[len(t) // 2]
    line(name, len(t), median, **{"images/s": images / median, "model-GFLOP/s": flops / median / 1e9, "min-ms": t[0] * 1e3, "max-ms": t[-1] * 1e3,
                                  "peak-MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


def best(name, f, flops):
    t = times(f, 0.25, 5)
    line(name, len(t), t[0], **{"GFLOP/s": flops / t[0] / 1e9})


def pictures(where, label):
    """What a loader's worker does for one picture: torchvision on Pillow, on one thread."""
    try:
        from PIL import Image
        import torchvision.transforms as T
    except ImportError as e:
        print(f"# {label}: no pictures: {e}")
        return
    data = open(os.path.join(where, "picture.jpg"), "rb").read()
    jitter = T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8)

    class Blur:  # as the reference: Pillow's, radius drawn from 0.1 to 2
        def __init__(self, p):
            self.p = p

        def __call__(self, img):
            from PIL import ImageFilter
            import random
            return img.filter(ImageFilter.GaussianBlur(radius=random.uniform(0.1, 2))) if random.random() < self.p else img

    def crop(size, scale, blur, solarize=0.0):
        return T.Compose([T.RandomResizedCrop(size, scale=scale, interpolation=T.InterpolationMode.BICUBIC), T.RandomHorizontalFlip(), jitter,
                          T.RandomGrayscale(0.2), Blur(blur), T.RandomSolarize(128, solarize), T.ToTensor(),
                          T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))])

    views = [crop(224, (0.4, 1), 1), crop(224, (0.4, 1), 0.1, 0.2)] + [crop(96, (0.05, 0.4), 0.5)] * 8
    decode = lambda: Image.open(io.BytesIO(data)).convert("RGB")
    img = decode()
    for name, f in [("decode", decode), ("crops", lambda: [v(img) for v in views]), ("whole", lambda: (lambda i: [v(i) for v in views])(decode()))]:
        each = 8  # augmentations differ
        t = times(lambda: [f() for _ in range(each)], 1, 5)
        line(f"{label}/picture/threads=1/{name}", len(t), t[0], **{"images/s": each / t[0]})


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("cases")
    a.add_argument("what", choices=["step", "embed", "attention", "heads", "products", "pictures"])
    a.add_argument("--only", help="the case of this name")
    a.add_argument("--list", action="store_true", help="print the names of the cases")
    a.add_argument("--threads", type=int, default=os.cpu_count())
    a.add_argument("--label", help="a word for the name, of how this process was set up")
    a.add_argument("--bf16", action="store_true")
    a.add_argument("--compile", action="store_true")
    a = a.parse_args()
    cases = json.load(open(os.path.join(a.cases, "cases.json")))
    if a.list:
        print("\n".join(c["name"] for c in cases[a.what + "s"]))
        return
    torch.manual_seed(0)
    torch.set_num_threads(a.threads)
    version = ".".join(torch.__version__.split(".")[:2])
    label = f"torch-{version}" + (f"-{a.label}" if a.label else "") + ("-bf16" if a.bf16 else "") + ("-compile" if a.compile else "")
    auto = (lambda: torch.autocast("cpu", dtype=torch.bfloat16)) if a.bf16 else contextlib.nullcontext
    wrap = torch.compile if a.compile else (lambda m: m)
    at = f"threads={a.threads}"
    if a.what == "pictures":
        return pictures(a.cases, label)
    # Both threads may have been started on one core: work until the system has moved one of them.
    x, start = torch.randn(1024, 1024), time.perf_counter()
    while time.perf_counter() - start < 1:
        x @ x
    if a.what == "step":
        for c in cases["steps"]:
            if a.only in (None, c["name"]):
                whole(f"{label}/step/{c['name']}/{at}", training_step(c, auto, wrap), c["Batch"], c["ModelFLOPs"])
    elif a.what == "embed":
        for c in cases["embeds"]:
            if a.only in (None, c["name"]):
                net = wrap(VisionTransformer(c, c["Size"]).eval())
                x = torch.randn(c["Batch"], 3, c["Size"], c["Size"])

                def extract():
                    with torch.no_grad(), auto():
                        return net(x)

                whole(f"{label}/embed/{c['name']}/{at}", extract, c["Batch"], c["ModelFLOPs"])
    elif a.what == "attention":
        for c in cases["attentions"]:
            b, n, h, d = c["B"], c["N"], c["H"], c["D"]
            name, flops = f"{at}/b{b}h{h}n{n}d{d}", 4 * n * n * d * h * b
            qkv = torch.randn(b, n, 3 * h * d, requires_grad=True)
            # From packed qkv to (B, N, H·D), as ours.
            run = lambda x: attend(*x.view(b, n, 3, h, d).permute(2, 0, 3, 1, 4)).transpose(1, 2).reshape(b, n, h * d)
            with torch.no_grad():
                best(f"{label}/attention/forward/{name}", lambda: run(qkv), flops)
            y = run(qkv)
            dy = torch.randn_like(y)
            best(f"{label}/attention/backward/{name}", lambda: torch.autograd.grad(y, qkv, dy, retain_graph=True), 2.5 * flops)
    else:
        with torch.no_grad():
            for shape in cases["headProducts" if a.what == "heads" else "products"]:
                count, (m, n, k) = (shape[0], shape[1:]) if len(shape) == 4 else (1, shape)
                lead = (count,) if len(shape) == 4 else ()
                p, q, out = torch.randn(*lead, m, k), torch.randn(*lead, k, n), torch.empty(*lead, m, n)
                pt, qt = p.mT.contiguous().mT, q.mT.contiguous().mT
                for form, x, y in [("NN", p, q), ("NT", p, qt), ("TN", pt, q)]:
                    kind = "heads" if len(shape) == 4 else "gemm"
                    best(f"{label}/{kind}/{at}/{form}/{'x'.join(map(str, shape))}", lambda: torch.matmul(x, y, out=out), 2 * count * m * n * k)


main()
