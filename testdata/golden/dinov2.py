"""Writes dinov2.safetensors: a small DINOv2-like Vision Transformer with registers and LayerScale, in plain PyTorch.

    python dinov2.py        (needs torch; writes beside itself)

The formulation is that of facebookresearch/dinov2's vision_transformer.py, written anew: registers come after the class token and have no
position embedding, both branches of a block are multiplied by factors a channel, the position embedding is resized with antialias and without
offset. Weights have DINOv2's names, mask_token among them.
"""
import json, math, pathlib, struct
import torch
import torch.nn.functional as F

DIM, DEPTH, HEADS, PATCH, GRID, REGISTERS = 32, 2, 4, 7, 5, 4
EPS = 1e-6
torch.manual_seed(11)
torch.set_num_threads(1)


def weights():
    r = lambda *s, std=0.3: torch.randn(*s) * std
    w = {"cls_token": r(1, 1, DIM), "pos_embed": r(1, GRID * GRID + 1, DIM), "register_tokens": r(1, REGISTERS, DIM),
         "mask_token": r(1, DIM), "patch_embed.proj.weight": r(DIM, 3, PATCH, PATCH, std=0.1), "patch_embed.proj.bias": r(DIM)}
    for i in range(DEPTH):
        b = f"blocks.{i}."
        for n, o, k in (("attn.qkv", 3 * DIM, DIM), ("attn.proj", DIM, DIM), ("mlp.fc1", 4 * DIM, DIM), ("mlp.fc2", DIM, 4 * DIM)):
            w[b + n + ".weight"], w[b + n + ".bias"] = r(o, k), r(o, std=0.1)
        for n in ("norm1", "norm2"):
            w[b + n + ".weight"], w[b + n + ".bias"] = 1 + r(DIM), r(DIM)
        for n in ("ls1", "ls2"):
            w[b + n + ".gamma"] = 0.5 + r(DIM)
    w["norm.weight"], w["norm.bias"] = 1 + r(DIM), r(DIM)
    return w


def pos_embed(w, h, wd):
    rows, cols = h // PATCH, wd // PATCH
    pos = w["pos_embed"]
    if rows * cols == GRID * GRID and h == wd:
        return pos
    grid = pos[:, 1:].reshape(1, GRID, GRID, DIM).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(rows, cols), mode="bicubic", antialias=True)
    return torch.cat([pos[:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, DIM)], 1)


def forward(w, x):
    b = x.shape[0]
    norm = lambda t, n: F.layer_norm(t, (DIM,), w[n + ".weight"], w[n + ".bias"], EPS)
    linear = lambda t, n: F.linear(t, w[n + ".weight"], w[n + ".bias"])
    pos = pos_embed(w, x.shape[2], x.shape[3])
    t = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=PATCH).flatten(2).transpose(1, 2)
    t = torch.cat([w["cls_token"].expand(b, -1, -1), t], 1) + pos
    t = torch.cat([t[:, :1], w["register_tokens"].expand(b, -1, -1), t[:, 1:]], 1)
    for i in range(DEPTH):
        p = f"blocks.{i}."
        n = t.shape[1]
        q, k, v = linear(norm(t, p + "norm1"), p + "attn.qkv").reshape(b, n, 3, HEADS, DIM // HEADS).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) / math.sqrt(DIM // HEADS)).softmax(-1)
        t = t + w[p + "ls1.gamma"] * linear((a @ v).transpose(1, 2).reshape(b, n, DIM), p + "attn.proj")
        t = t + w[p + "ls2.gamma"] * linear(F.gelu(linear(norm(t, p + "norm2"), p + "mlp.fc1")), p + "mlp.fc2")
    t = norm(t, "norm")
    return t[:, 0], t[:, 1 + REGISTERS:], a


def save(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, t in tensors.items():
        raw = t.contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


w = weights()
out = {"weights." + n: t for n, t in w.items()}
for h, wd in ((35, 35), (21, 35), (42, 49)):
    x = torch.randn(2, 3, h, wd)
    cls, patches, attention = forward(w, x)
    out |= {f"{h}x{wd}.x": x, f"{h}x{wd}.cls": cls, f"{h}x{wd}.patches": patches, f"{h}x{wd}.attention": attention,
            f"{h}x{wd}.pos_embed": pos_embed(w, h, wd)}
save(pathlib.Path(__file__).with_name("dinov2.safetensors"), out, {
    "config": json.dumps({"img": PATCH * GRID, "patch": PATCH, "D": DIM, "depth": DEPTH, "heads": HEADS, "registers": REGISTERS}),
    "torch": torch.__version__})
