"""Writes protocols.json and the gnd_*.pkl: the evaluation protocols computed once more, with numpy and OpenCV, straight from their
definitions and without a look at the Go code. Run in this folder: python protocols.py"""
import json
import pickle

import cv2
import numpy as np

rng = np.random.default_rng(5)
out = {}


def numbers(a):
    return [float(np.float32(v)) for v in np.asarray(a, np.float32).ravel()]


# Retrieval: every rank is found by counting, not by walking along the ranking.
def judge(similarity, positives, junk, ks):
    candidates = [i for i in range(len(similarity)) if i not in junk or i in positives]
    rank = {p: sum(similarity[i] > similarity[p] for i in candidates) for p in positives}
    ranks = sorted(rank.values())
    points = [(1.0 if r == 0 else j / r, (j + 1) / (r + 1)) for j, r in enumerate(ranks)]
    ap = sum((a + b) / 2 for a, b in points) / len(positives)
    precision = []
    for k in ks:
        k = min(k, max(ranks) + 1)
        precision.append(sum(r < k for r in ranks) / k)
    return ap, precision


bank, queries = rng.standard_normal((40, 6)), rng.standard_normal((5, 6))
unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)
similarity = unit(np.float32(queries).astype(float)) @ unit(np.float32(bank).astype(float)).T
truth, want = [], {"medium": [], "hard": []}
for q in range(5):
    order = rng.permutation(40).tolist()
    lists = {"easy": order[:4], "hard": order[4:7], "junk": order[7:13]}
    if q == 3:
        lists["hard"] = []  # nothing to judge in Hard
    truth.append(lists)
    want["medium"].append(judge(similarity[q], lists["easy"] + lists["hard"], lists["junk"], [1, 5, 10]))
    if lists["hard"]:
        want["hard"].append(judge(similarity[q], lists["hard"], lists["junk"] + lists["easy"], [1, 5, 10]))
out["retrieval"] = {"dim": 6, "bank": numbers(bank), "queries": numbers(queries), "truth": truth}
for level, found in want.items():
    out["retrieval"][level] = {"map": float(np.mean([f[0] for f in found])), "mp": np.mean([f[1] for f in found], axis=0).tolist()}

# Whitening and GeM.
F = np.float32(rng.standard_normal((30, 5)) @ rng.standard_normal((5, 5)) + 1)
F[:, 4] = F[:, 3] + np.float32(1e-3 * rng.standard_normal(30))  # a direction that is all but empty
F64 = F.astype(float)
values, vectors = np.linalg.eigh(F64.T @ F64 / len(F))
floored = np.maximum(values, 1e-5 * values.max())
white = ((F64[:7] - F64.mean(0)) @ vectors) / np.sqrt(floored)
out["whitening"] = {"dim": 5, "features": numbers(F), "inner": numbers(white @ white.T), "floored": int((floored > values).sum())}
T = np.float32(rng.standard_normal((9, 4)))
out["gem"] = {"dim": 4, "tokens": numbers(T), "pooled": ((np.maximum(T.astype(float), 1e-6) ** 4).mean(0) ** 0.25).tolist()}

# Masks: two ellipses, an unknown corner; the result is the same drawn elsewhere. Labels as masks() of the Go test.
def masks(dx, dy):
    y, x = np.mgrid[0:90, 0:120]
    m = np.zeros((90, 120), np.uint8)
    m[4 * (x - 40 - dx) ** 2 + 9 * (y - 35 - dy) ** 2 < 3600] = 1
    m[9 * (x - 80) ** 2 + 4 * (y - 60 - dx) ** 2 < 2500] = 2
    return m


def outline(m):
    p = np.pad(m, ((0, 1), (0, 1)), mode="edge")
    b = (p[:-1, :-1] != p[:-1, 1:]) | (p[:-1, :-1] != p[1:, :-1])
    d = np.zeros_like(b)
    d[:-1, :-1] = m[:-1, :-1] != m[1:, 1:]
    return b | d


out["masks"] = []
for dx, dy in [(0, 0), (3, 1), (7, -4), (25, 0), (300, 300)]:
    t, r = masks(0, 0), masks(dx, dy)
    void = np.zeros(t.shape, bool)
    void[:20, :30] = True
    for o in (1, 2):
        a, b = (t == o) & ~void, (r == o) & ~void
        union = (a | b).sum()
        radius = int(np.ceil(0.008 * np.hypot(90, 120)))
        k = np.uint8([[u * u + v * v <= radius * radius for u in range(-radius, radius + 1)] for v in range(-radius, radius + 1)])
        A, B = outline(a), outline(b)
        p = (B & cv2.dilate(A.astype(np.uint8), k).astype(bool)).sum() / B.sum() if B.any() else float(True)
        q = (A & cv2.dilate(B.astype(np.uint8), k).astype(bool)).sum() / A.sum() if A.any() else float(True)
        if A.any() != B.any():
            p, q = float(not B.any()), float(not A.any())
        out["masks"].append({"dx": dx, "dy": dy, "object": o, "j": float((a & b).sum() / union) if union else 1.0, "f": float(2 * p * q / (p + q)) if p + q else 0.0})

# Statistics over frames.
v = rng.random(38)
ids = (np.round(np.linspace(1, 38, 5) + 1e-10) - 1).astype(int)
out["frames"] = {"values": v.tolist(), "mean": v.mean(), "recall": (v > 0.5).mean(), "decay": v[ids[0] : ids[1] + 1].mean() - v[ids[3] : ids[4] + 1].mean()}

# Label propagation, dense: all pairs, then zeros outside the neighbourhood.
rows, cols, dim, classes, radius, top = 5, 7, 4, 3, 2, 5
frames = [np.float32(unit(rng.standard_normal((rows * cols, dim)))) for _ in range(4)]
labels = [np.float32(rng.dirichlet(np.ones(classes), rows * cols)) for _ in range(3)]
y, x = np.divmod(np.arange(rows * cols), cols)
near = (np.abs(y[:, None] - y) <= radius) & (np.abs(x[:, None] - x) <= radius)
A = np.concatenate([np.where(near, np.exp(frames[3].astype(float) @ f.T.astype(float) / 0.1), 0) for f in frames[:3]], axis=1)
A[A < np.sort(A, axis=1)[:, -top][:, None]] = 0
A /= A.sum(1, keepdims=True)
out["propagation"] = {"rows": rows, "cols": cols, "radius": radius, "top": top, "frames": [numbers(f) for f in frames], "labels": [numbers(l) for l in labels],
                      "want": (A @ np.concatenate(labels).astype(float)).ravel().tolist()}

json.dump(out, open("protocols.json", "w"))

# Ground truths as the revisited sets have them: lists, or arrays of numpy, in the protocols of Python 2 and of today.
for name, as_list in (("lists", list), ("arrays", lambda v: np.array(v, np.int64))):
    gnd = [{"bbx": [10.5, 20.0, 300.25, 400.0], "easy": as_list([0, 2]), "hard": as_list([3]), "junk": as_list([])},
           {"bbx": as_list([1, 2, 30, 40]), "easy": as_list([]), "hard": as_list([1, 300]), "junk": as_list([4])}]
    cfg = {"imlist": ["oxford_%06d" % i for i in range(301)], "qimlist": ["all_souls_000013", "all_souls_000026"], "gnd": gnd}
    for protocol in (2, 4):
        with open("gnd_%s_%d.pkl" % (name, protocol), "wb") as f:
            pickle.dump(cfg, f, protocol=protocol)
