#!/usr/bin/env python3
"""Makes gpu.json and gpu.md of the logs that bench/gpu.sh left in a directory: report.py DIR.  Needs nothing but Python 3.8."""
import datetime
import json
import pathlib
import re
import statistics
import sys

TARGETS = {"Gemm/bf16": 0.9, "Attention": 1.0, "vit_small": 1.2}  # of ours to theirs, in rate


def read(path):
    return path.read_text(errors="replace") if path.exists() else ""


def stages(out):
    found = []
    for line in read(out / "stages.tsv").splitlines():
        name, status, seconds, limit, reason = line.split("\t")
        status, log = int(status), read(out / f"{name}.log")
        result = "skipped" if status == -1 else "passed" if status == 0 else f"out of time after {limit} s" if status in (124, 137) else f"FAILED with status {status}"
        tests = {k: len(re.findall(rf"^\s*--- {k}: ", log, re.M)) for k in ("PASS", "FAIL", "SKIP")}
        found.append({"name": name, "result": result, "status": status, "seconds": int(seconds), "limit": int(limit), "reason": reason, "tests": tests,
                      "failures": re.findall(r"^\s*--- FAIL: (\S+)", log, re.M) or ([last(log, status)] if status > 0 else []), "clocks": clocks(out, name)})
    return found


def last(log, status):
    """What a log says that names no failed test: an error, or what was under way when the time was over."""
    lines = [x for x in log.splitlines() if x.strip()]
    if status in (124, 137):
        return "under way: " + (lines or ["nothing yet"])[-1][:300]
    wanted = [x for x in lines if re.match(r"panic:|.*[Ee]rror", x)]
    return (wanted or lines or ["the log is empty"])[-1 if not wanted else 0][:300]


def clocks(out, name):
    """The clock of the multiprocessors during a stage, in MHz."""
    begin, end = read(out / f"{name}.begin").strip(), read(out / f"{name}.end").strip()
    if not begin or not end:
        return None
    sm, power = [], []
    for line in read(out / "clocks.csv").splitlines():
        cells = [x.strip() for x in line.split(",")]
        try:
            at = datetime.datetime.strptime(cells[0].split(".")[0], "%Y/%m/%d %H:%M:%S").timestamp()
            if int(begin) <= at <= int(end):
                sm.append(float(cells[1]))
                power.append(float(cells[3]))
        except (ValueError, IndexError):
            continue
    return {"sm_median": statistics.median(sm), "sm_least": min(sm), "watts_median": statistics.median(power)} if sm else None


def benchmarks(out, name):
    """Name to metrics, of lines in the form of Go's benchmarks."""
    found = {}
    for line in read(out / f"{name}.log").splitlines():
        m = re.match(r"Benchmark(\S+?)(?:-\d+)?\s+(\d+)\s+(.*)", line)
        if m:
            pairs = re.findall(r"([\d.e+-]+) (\S+)", m.group(3).split("#")[0])
            found[m.group(1)] = {unit: float(x) for x, unit in pairs}
            if "#" in m.group(3):
                found[m.group(1)]["by"] = m.group(3).split("#")[1].strip()
    return found


def objects(out, name):
    found = []
    for line in read(out / f"{name}.log").splitlines():
        try:
            x = json.loads(line)
            if isinstance(x, dict):
                found.append(x)
        except ValueError:
            continue
    return found


def target(name):
    return next((t for k, t in TARGETS.items() if k in name), None)


def table(rows, *head):
    text = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return text + ["| " + " | ".join(f"{x:.3g}" if isinstance(x, float) else "" if x is None else str(x) for x in r) + " |" for r in rows]


def main():
    out = pathlib.Path(sys.argv[1])
    all_stages = stages(out)
    ours, theirs = benchmarks(out, "kernels"), benchmarks(out, "torch-kernels")
    pairs = []
    for name, mine in ours.items():
        peer = theirs.get(name)
        if peer and mine.get("µs") and peer.get("µs"):
            ratio = peer["µs"] / mine["µs"]
            pairs.append({"name": name.split("/", 1)[1], "ours_us": mine["µs"], "theirs_us": peer["µs"], "ratio": ratio, "ours_tflops": mine.get("TFLOP/s"),
                          "by": peer.get("by"), "target": target(name)})
    steps = []
    for arch in ("vit_small", "vit_base"):
        peers = {x["batch"]: x for x in objects(out, f"peer-{arch}") if "images_per_s" in x}
        for name, mine in benchmarks(out, f"step-{arch}").items():
            m = re.search(r"batch=(\d+)", name)
            batch = int(m.group(1)) if m else 0
            peer = peers.get(batch, {})
            steps.append({"arch": arch, "batch": batch, "images_per_s": mine.get("images/s"), "ms": mine.get("ms"), "gpu_mib": mine.get("GPU-MiB"),
                          "tflops_model": mine.get("TFLOP/s-model"), "torch_images_per_s": peer.get("images_per_s"), "torch_bytes": peer.get("peak_bytes"),
                          "ratio": mine["images/s"] / peer["images_per_s"] if peer.get("images_per_s") and mine.get("images/s") else None, "target": target(arch)})
    knn = objects(out, "cifar")
    lines = [json.loads(x) for x in read(out / "cifar.jsonl").splitlines() if x.startswith("{")]
    result = {"date": datetime.datetime.now().isoformat(timespec="seconds"), "commit": read(out / "commit").splitlines(), "gpu": read(out / "gpu.csv").strip(),
              "machine": read(out / "machine.log"), "stages": all_stages, "kernels": ours, "torch_kernels": theirs, "compared": pairs, "steps": steps,
              "cifar": {"knn": knn[-1] if knn else None, "last": lines[-1] if lines else None}}
    (out / "gpu.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")

    failed = [s for s in all_stages if s["status"] > 0]
    missed = [p for p in pairs + steps if p.get("ratio") and p["target"] and not p["ratio"] >= p["target"]]
    commit = result["commit"]
    text = ["# On a GPU", "", f"{result['gpu'] or 'no GPU: a dry run'}; {result['date']}; commit {commit[0][:12] if commit else 'unknown'}{', changed' if commit[1:] else ''}.", ""]
    text += ["## Failures", ""]
    text += [f"* **{s['name']}**: {s['result']}" + "".join(f"\n  * `{f}`" for f in s["failures"][:20]) for s in failed] or ["None of the stages that ran."]
    text += [f"* {s['name']} was skipped: {s['reason']}" for s in all_stages if s["status"] == -1]
    text += ["", "## Below the aim", ""]
    text += [f"* {p.get('name') or p['arch'] + ' batch ' + str(p['batch'])}: {p['ratio']:.2f} of PyTorch's rate, aim {p['target']}" for p in missed] or ["Nothing that was compared."]
    text += ["", "## Stages", ""]
    text += table([(s["name"], s["result"], s["seconds"], s["tests"]["PASS"], s["tests"]["FAIL"], s["tests"]["SKIP"], (s["clocks"] or {}).get("sm_median")) for s in all_stages],
                  "stage", "result", "s", "tests passed", "failed", "skipped", "SM clock, MHz")
    if steps:
        text += ["", "## Training steps, bf16, crops on the GPU", ""]
        text += table([(s["arch"], s["batch"], s["images_per_s"], s["ms"], s["gpu_mib"], s["tflops_model"], s["torch_images_per_s"], s["ratio"]) for s in steps],
                      "network", "batch", "images/s", "ms", "MiB", "TFLOP/s of the model", "PyTorch, images/s", "ratio")
    if pairs:
        text += ["", "## Beside PyTorch", ""]
        text += table([(p["name"], p["ours_us"], p["theirs_us"], p["ours_tflops"], p["ratio"], p["by"]) for p in pairs], "operation", "µs", "PyTorch, µs", "TFLOP/s", "ratio", "by")
    if ours:
        text += ["", "## Operations", ""]
        text += table([(n.split("/", 1)[1], m.get("µs"), m.get("TFLOP/s"), m.get("GB/s"), m.get("bound")) for n, m in ours.items()],
                      "operation", "µs", "TFLOP/s", "GB/s", "share of an H200's bound")
    if knn or lines:
        text += ["", "## CIFAR-10, vit_tiny/4", "", f"last line of the log: `{json.dumps(result['cifar']['last'], ensure_ascii=False)}`", "", f"k-NN: `{json.dumps(result['cifar']['knn'], ensure_ascii=False)}`"]
    text += ["", "## Machine", "", "```", result["machine"].strip(), "```", ""]
    (out / "gpu.md").write_text("\n".join(text))
    print("\n".join(text[:60]))


main()
