"""Writes models of timm and transformers with random weights, and what they make of images, for the test of dino import.

    python foreign.py DIR

Each folder below DIR holds model.safetensors, for transformers config.json, and expected.safetensors: inputs x.N and features cls.N, patches.N.
Exit status 77: the packages are not installed. The names of the folders go to standard output.
"""
import os, sys

try:
    import timm, torch, transformers
    from safetensors.torch import save_file
    from transformers import (Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel, DeiTConfig, DeiTModel,
                              ViTConfig, ViTForImageClassification)
except ImportError as e:
    print(e)
    sys.exit(77)

torch.manual_seed(3)
torch.set_num_threads(1)
print("#", "timm", timm.__version__, "transformers", transformers.__version__, "torch", torch.__version__)


def lively(m):
    with torch.no_grad():
        for p in m.parameters():
            p += 0.2 * torch.randn_like(p)
    return m.eval()


def write(name, m, state, prefix, tokens, sizes):
    d = os.path.join(sys.argv[1], name)
    os.makedirs(d, exist_ok=True)
    expected = {}
    for i, (h, w) in enumerate(sizes):
        x = torch.randn(2, 3, h, w)
        with torch.no_grad():
            t = tokens(x)
        expected |= {f"x.{i}": x, f"cls.{i}": t[:, 0].contiguous(), f"patches.{i}": t[:, prefix:].contiguous()}
    save_file(expected, os.path.join(d, "expected.safetensors"))
    if state is None:
        m.save_pretrained(d)
    else:
        save_file({k: v.contiguous() for k, v in state.items()}, os.path.join(d, "model.safetensors"))
    print(name)


tiny = dict(embed_dim=48, depth=2, num_heads=4, img_size=32, patch_size=8)
for name, arch, prefix, more in (("timm_vit", "vit_tiny_patch16_224", 1, {}), ("timm_noqkvbias", "vit_tiny_patch16_224", 1, {"qkv_bias": False}),
                                 ("timm_deit", "deit_tiny_distilled_patch16_224", 2, {}), ("timm_dinov2", "vit_small_patch14_dinov2", 1, {}),
                                 ("timm_reg4", "vit_small_patch14_reg4_dinov2", 5, {})):
    m = lively(timm.create_model(arch, pretrained=False, **tiny, **more))
    write(name, m, m.state_dict(), prefix, m.forward_features, [(32, 32)])

hf = dict(hidden_size=48, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)
vit = dict(hf, intermediate_size=96, layer_norm_eps=0.01)
sizes = [(32, 32), (24, 40), (56, 64)]
m = lively(ViTForImageClassification(ViTConfig(**vit)))
write("hf_vit", m, None, 1, lambda x: m.vit(x, interpolate_pos_encoding=True).last_hidden_state, sizes)
m = lively(DeiTModel(DeiTConfig(**vit)))
write("hf_deit", m, None, 2, lambda x: m(x).last_hidden_state, sizes[:1])
m = lively(Dinov2Model(Dinov2Config(**hf)))
write("hf_dinov2", m, None, 1, lambda x: m(x).last_hidden_state, sizes)
m = lively(Dinov2WithRegistersModel(Dinov2WithRegistersConfig(**hf)))
write("hf_registers", m, None, 5, lambda x: m(x).last_hidden_state, sizes)
