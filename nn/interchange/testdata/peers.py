"""Opens what the test wrote with the programs it is meant for and compares their features with ours.

    python peers.py DIR onnx|timm|huggingface

DIR holds expected.safetensors (x, cls, patches, attention) and model.onnx, timm/ or huggingface/. Prints one JSON object: the versions, and
the largest difference of each output relative to the largest expected element. Exit status 77: the packages are not installed.
"""
import json, struct, sys

try:
    import numpy as np
except ImportError as e:
    print(e)
    sys.exit(77)


def read(path):
    b = open(path, "rb").read()
    n = struct.unpack("<Q", b[:8])[0]
    h = json.loads(b[8:8 + n])
    h.pop("__metadata__", None)
    return {k: np.frombuffer(b[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]], "<f4").reshape(v["shape"]) for k, v in h.items()}


def differences(want, **got):
    for k, v in got.items():
        assert v.shape == want[k].shape, (k, v.shape, want[k].shape)
    return {k: float(np.abs(v - want[k]).max() / max(1, np.abs(want[k]).max())) for k, v in got.items()}


def onnx_(d, want):
    import onnx, onnxruntime
    onnx.checker.check_model(d + "/model.onnx", full_check=True)
    s = onnxruntime.InferenceSession(d + "/model.onnx", providers=["CPUExecutionProvider"])
    names = [o.name for o in s.get_outputs()]
    assert names == ["cls", "patch_tokens", "attention"], names
    out = dict(zip(names, s.run(None, {"images": want["x"]})))
    one = s.run(["cls"], {"images": want["x"][:1]})[0]  # another batch
    assert np.abs(one - out["cls"][:1]).max() < 1e-5
    return [onnx, onnxruntime], differences(want, cls=out["cls"], patches=out["patch_tokens"], attention=out["attention"])


def timm_(d, want):
    import timm, torch
    m = timm.create_model("local-dir:" + d + "/timm", pretrained=True).eval()
    with torch.no_grad():
        tokens = m.forward_features(torch.from_numpy(want["x"].copy()))
        cls = m(torch.from_numpy(want["x"].copy()))
    return [timm, torch], differences(want, cls=cls.numpy(), patches=tokens[:, m.num_prefix_tokens:].numpy())


def huggingface(d, want):
    import torch, transformers
    kind = json.load(open(d + "/huggingface/config.json"))["model_type"]
    more = {"add_pooling_layer": False} if kind == "vit" else {}
    m, report = transformers.AutoModel.from_pretrained(d + "/huggingface", output_loading_info=True, **more)
    for k in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not report[k], (k, report[k])
    transformers.AutoConfig.from_pretrained(d + "/huggingface")
    with torch.no_grad():
        tokens = m.eval()(torch.from_numpy(want["x"].copy())).last_hidden_state.numpy()
    registers = getattr(m.config, "num_register_tokens", 0)
    return [transformers, torch], differences(want, cls=tokens[:, 0], patches=tokens[:, 1 + registers:])


d, what = sys.argv[1:]
try:
    modules, diff = {"onnx": onnx_, "timm": timm_, "huggingface": huggingface}[what](d, read(d + "/expected.safetensors"))
except ImportError as e:
    print(e)
    sys.exit(77)
print(json.dumps({"versions": {m.__name__: m.__version__ for m in modules}, "difference": diff}))
