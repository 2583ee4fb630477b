"""Low-rank updates of a UNet's linear layers: W + alpha / rank B A (Hu et al. 2021, arXiv 2106.09685, eq. 3).

peft trains them in float32. They are saved as the file that diffusers' `load_lora_weights` reads, and added to
generation 0's float32 weights for sampling.
"""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from entropy_loop.data import TrainSettings
from entropy_loop.errors import ConfigError

if TYPE_CHECKING:
    import torch
    from diffusers import UNet2DConditionModel
    from peft.tuners.lora import LoraLayer
    from torch.nn import Linear, Module, Parameter

FILE = "pytorch_lora_weights.safetensors"
METADATA = "lora_adapter_metadata"  # where diffusers looks for rank and alpha


def is_update(folder: Path) -> bool:
    """Whether the folder of a generation holds a low-rank update."""
    return (folder / FILE).is_file()


def check_targets(unet: UNet2DConditionModel, settings: TrainSettings) -> None:
    """Raises ConfigError when a target module is no linear layer of this UNet."""
    from torch.nn import Linear

    modules = dict(unet.named_modules())
    for target in settings.target_modules:
        named = [module for name, module in modules.items() if name == target or name.endswith(f".{target}")]
        if not named or not all(isinstance(module, Linear) for module in named):
            kinds = {name.rpartition(".attn1.")[2] for name, m in modules.items() if ".attn1." in name}
            usual = ", ".join(sorted(kinds & {"to_q", "to_k", "to_v", "to_out.0"}))
            raise ConfigError(
                f"train.target_modules: {target!r} names no linear layer of the UNet; usual ones: {usual}."
            )


def add(unet: UNet2DConditionModel, settings: TrainSettings, start: Path | None, seed: int) -> list[Parameter]:
    """Put float32 adapters into the UNet and return their parameters: those of generation `start`, else new ones.

    New ones are as in diffusers' examples: A is normal with standard deviation 1 / rank, B is zero.
    """
    import torch
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
    from peft.tuners.lora import LoraLayer

    with torch.random.fork_rng(devices=[]):  # peft draws initial weights, which are replaced below
        inject_adapter_in_model(LoraConfig(**_options(settings), init_lora_weights="gaussian"), unet)
    for layer in unet.modules():
        if isinstance(layer, LoraLayer):
            layer.forward = partial(_updated, layer.get_base_layer(), *_factors(layer))  # type: ignore[attr-defined]
    layers = {name: value for name, value in unet.named_parameters() if ".lora_" in name}
    random = torch.Generator().manual_seed(seed)
    for name, value in layers.items():
        value.requires_grad_(True).data = value.data.float()
        if ".lora_A." in name:
            value.data.copy_(torch.randn(value.shape, generator=random) / settings.rank)
    if start:
        set_peft_model_state_dict(unet, _stored(start)[0])
    return list(layers.values())


def save(unet: UNet2DConditionModel, settings: TrainSettings, out: Path) -> None:
    """Write the adapters, float32, with rank and alpha in the file's metadata."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    weights = {f"unet.{name}": value.cpu().contiguous() for name, value in get_peft_model_state_dict(unet).items()}
    options = {f"unet.{name}": value for name, value in _options(settings).items()}
    # A single metadata entry: safetensors writes several in any order, and equal adapters must be equal files.
    save_file(weights, out / FILE, metadata={METADATA: json.dumps(options, sort_keys=True)})
    shutil.copymode(out / "training.csv", out / FILE)  # safetensors keeps others from reading


def remove(unet: UNet2DConditionModel) -> None:
    """Take the adapters out: the UNet has the same modules as before `add`."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(unet.named_modules()):
        if isinstance(layer, LoraLayer):
            parent, _, attribute = name.rpartition(".")
            setattr(unet.get_submodule(parent), attribute, layer.get_base_layer())
    unet.__dict__.pop("peft_config", None)


def update(folder: Path) -> dict[str, torch.Tensor]:
    """alpha / rank B A of every layer, float32, by the name of the weight that it is added to."""
    weights, scale = _stored(folder)
    names = [name.removesuffix(".lora_A.weight") for name in weights if name.endswith(".lora_A.weight")]
    return {
        f"{name}.weight": scale * weights[f"{name}.lora_B.weight"].float() @ weights[f"{name}.lora_A.weight"].float()
        for name in names
    }


def _factors(layer: LoraLayer) -> tuple[Linear, Linear, float]:
    """A and B, linear layers, and alpha / rank."""
    ((name, scale),) = layer.scaling.items()
    a, b = layer.lora_A[name], layer.lora_B[name]
    return cast("Linear", a), cast("Linear", b), scale


def _updated(base: Module, a: Linear, b: Linear, scale: float, x: torch.Tensor) -> torch.Tensor:
    """A LoRA layer's output, as peft computes it for one adapter without dropout. peft's own `forward` looks for other
    adapters and scales in a separate product, which took a twentieth of a step on a CPU."""
    import torch

    output: torch.Tensor = base(x)
    return torch.add(output, b(a(x.to(a.weight.dtype))), alpha=scale).to(output.dtype)


def _stored(folder: Path) -> tuple[dict[str, torch.Tensor], float]:
    """The adapters of a generation, and alpha / rank."""
    from safetensors import safe_open

    with safe_open(folder / FILE, framework="pt") as file:
        weights = {name.removeprefix("unet."): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        options = json.loads(file.metadata()[METADATA])
        return weights, options["unet.lora_alpha"] / options["unet.r"]


def _options(settings: TrainSettings) -> dict[str, Any]:
    """Options of peft's LoraConfig."""
    alpha = settings.rank if settings.lora_alpha is None else settings.lora_alpha
    return {"r": settings.rank, "lora_alpha": alpha, "target_modules": sorted(settings.target_modules)}
