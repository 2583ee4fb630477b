"""The FLOP ledger: the arithmetic of one pass of each part of a checkpoint, from its config alone.

A layer with weights of shape (out, in, kernel) that is applied at p positions makes p * out * in * kernel
multiply-adds; attention of q queries over k keys of width w makes 2 q k w. One multiply-add is two FLOP. Norms,
activations and the scheduler are left out: they compute next to nothing. Loads no torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NotRequired, TypedDict


@dataclass(frozen=True)
class Layer:
    """kind: conv, linear, attention or norm. size: (in, out). positions: how many in one sample it is applied to.
    macs: multiply-adds per sample."""

    name: str
    kind: str
    size: tuple[int, int]
    positions: int
    parameters: int
    macs: int


def tflop(layers: Iterable[Layer], kind: str = "") -> float:
    """TFLOP of one sample, of all layers or of one kind."""
    return 2e-12 * sum(layer.macs for layer in layers if kind in ("", layer.kind))


def parameters(layers: Iterable[Layer]) -> int:
    """How many weights the layers have."""
    return sum(layer.parameters for layer in layers)


def adapters(layers: Iterable[Layer], targets: Sequence[str], rank: int) -> list[Layer]:
    """The low-rank updates of the layers named in `targets`: rank * (in + out) weights each."""
    return [
        Layer("lora", "linear", layer.size, layer.positions, size := rank * sum(layer.size), size * layer.positions)
        for layer in layers
        if layer.name in targets
    ]


# ---- kinds of layers ---------------------------------------------------------------------------------


def _conv(name: str, cin: int, cout: int, positions: int, kernel: int = 9) -> Layer:
    return Layer(name, "conv", (cin, cout), positions, cin * cout * kernel + cout, positions * cin * cout * kernel)


def _linear(name: str, cin: int, cout: int, positions: int, bias: bool = True) -> Layer:
    return Layer(name, "linear", (cin, cout), positions, cin * cout + cout * bias, positions * cin * cout)


def _norm(width: int, positions: int) -> Layer:
    return Layer("norm", "norm", (width, width), positions, 2 * width, 0)


def _attention(queries: int, keys: int, width: int) -> Layer:
    return Layer("attention", "attention", (width, width), queries, 0, 2 * queries * keys * width)


def _resnet(cin: int, cout: int, positions: int, time: int) -> Iterator[Layer]:
    yield from (_norm(cin, positions), _conv("conv1", cin, cout, positions))
    if time:
        yield _linear("time_emb_proj", time, cout, 1)
    yield from (_norm(cout, positions), _conv("conv2", cout, cout, positions))
    if cin != cout:
        yield _conv("conv_shortcut", cin, cout, positions, 1)


def _transformer(width: int, positions: int, blocks: int, linear: bool, tokens: int, context: int) -> Iterator[Layer]:
    into = _linear if linear else partial(_conv, kernel=1)
    yield from (_norm(width, positions), into("proj_in", width, width, positions))
    for _ in range(blocks):
        for keys, cin in ((positions, width), (tokens, context)):
            yield from (_norm(width, positions), _linear("to_q", width, width, positions, bias=False))
            yield from (_linear(name, cin, width, keys, bias=False) for name in ("to_k", "to_v"))
            yield from (_attention(positions, keys, width), _linear("to_out.0", width, width, positions))
        yield from (_norm(width, positions), _linear("ff.net.0.proj", width, 8 * width, positions))
        yield _linear("ff.net.2", 4 * width, width, positions)
    yield into("proj_out", width, width, positions)


# ---- parts -------------------------------------------------------------------------------------------


class UnetOptions(TypedDict, total=False):
    """Optional keys of a config of diffusers' UNet2DConditionModel."""

    use_linear_projection: bool
    transformer_layers_per_block: int | list[int] | None
    addition_embed_type: str | None
    addition_time_embed_dim: int
    projection_class_embeddings_input_dim: int


class UnetConfig(UnetOptions):
    """Its required keys. sample_size: edge of the latents, or height and width."""

    sample_size: int | list[int]
    in_channels: int
    out_channels: int
    layers_per_block: int
    block_out_channels: list[int]
    down_block_types: list[str]
    up_block_types: list[str]
    cross_attention_dim: int
    attention_head_dim: int | list[int]
    norm_num_groups: int


class VaeConfig(TypedDict):
    """Of diffusers' AutoencoderKL."""

    block_out_channels: list[int]
    layers_per_block: int
    latent_channels: int
    down_block_types: list[str]
    up_block_types: list[str]
    sample_size: int
    scaling_factor: float
    mid_block_add_attention: NotRequired[bool]


class TextConfig(TypedDict):
    """Of transformers' CLIPTextModel."""

    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    max_position_embeddings: int
    hidden_act: str
    projection_dim: int


def unet(config: UnetConfig, height: int, width: int, tokens: int) -> list[Layer]:
    """One forward pass of a UNet2DConditionModel on one latent of height x width with `tokens` text tokens."""
    channels, n = config["block_out_channels"], len(config["block_out_channels"])
    time, each = 4 * channels[0], config["layers_per_block"]
    blocks = config.get("transformer_layers_per_block") or 1
    depth = list(blocks) if isinstance(blocks, list | tuple) else [blocks] * n
    sizes = [_smaller(height, i) * _smaller(width, i) for i in range(n)]
    text = (bool(config.get("use_linear_projection")), tokens, config["cross_attention_dim"])

    def attend(level: int) -> Iterator[Layer]:
        return _transformer(channels[level], sizes[level], depth[level], *text)

    layers = [_linear("time", channels[0], time, 1), _linear("time", time, time, 1)]
    if config.get("addition_embed_type") == "text_time":
        layers += [_linear("add", config["projection_class_embeddings_input_dim"], time, 1)]
        layers += [_linear("add", time, time, 1)]
    layers.append(_conv("conv_in", config["in_channels"], channels[0], sizes[0]))
    skips = [channels[0]]
    for i, kind in enumerate(config["down_block_types"]):
        for j in range(each):
            layers += _resnet(channels[max(i - 1, 0)] if j == 0 else channels[i], channels[i], sizes[i], time)
            layers += attend(i) if "CrossAttn" in kind else ()
            skips.append(channels[i])
        if i < n - 1:
            layers.append(_conv("downsampler", channels[i], channels[i], sizes[i + 1]))
            skips.append(channels[i])
    layers += [*_resnet(channels[-1], channels[-1], sizes[-1], time), *attend(n - 1)]
    layers += _resnet(channels[-1], channels[-1], sizes[-1], time)
    before = channels[-1]
    for i, kind in zip(reversed(range(n)), config["up_block_types"], strict=True):
        for _ in range(each + 1):
            layers += _resnet(before + skips.pop(), channels[i], sizes[i], time)
            layers += attend(i) if "CrossAttn" in kind else ()
            before = channels[i]
        if i:
            layers.append(_conv("upsampler", channels[i], channels[i], sizes[i - 1]))
    return [*layers, _norm(channels[0], sizes[0]), _conv("conv_out", channels[0], config["out_channels"], sizes[0])]


def _smaller(edge: int, times: int) -> int:
    for _ in range(times):
        edge = -(-edge // 2)
    return edge


def _middle(config: VaeConfig, positions: int) -> Iterator[Layer]:
    c = config["block_out_channels"][-1]
    yield from _resnet(c, c, positions, 0)
    if config.get("mid_block_add_attention", True):
        yield from (_norm(c, positions), *(_linear(name, c, c, positions) for name in ("to_q", "to_k", "to_v")))
        yield from (_attention(positions, positions, c), _linear("to_out.0", c, c, positions))
    yield from _resnet(c, c, positions, 0)


def encoder(config: VaeConfig, height: int, width: int) -> list[Layer]:
    """One pass of an AutoencoderKL's encoder on an image of height x width pixels."""
    channels, latent = config["block_out_channels"], config["latent_channels"]
    n, before = len(channels), channels[0]
    layers = [_conv("conv_in", 3, before, height * width)]
    for i, c in enumerate(channels):
        positions = (height >> i) * (width >> i)
        for _ in range(config["layers_per_block"]):
            layers += _resnet(before, c, positions, 0)
            before = c
        if i < n - 1:
            layers.append(_conv("downsampler", c, c, positions // 4))
    least = (height >> (n - 1)) * (width >> (n - 1))
    layers += [*_middle(config, least), _norm(before, least), _conv("conv_out", before, 2 * latent, least)]
    return [*layers, _conv("quant_conv", 2 * latent, 2 * latent, least, 1)]


def decoder(config: VaeConfig, height: int, width: int) -> list[Layer]:
    """One pass of an AutoencoderKL's decoder to an image of height x width pixels."""
    channels, latent = config["block_out_channels"], config["latent_channels"]
    n, before = len(channels), channels[-1]
    least = (height >> (n - 1)) * (width >> (n - 1))
    layers = [_conv("post_quant_conv", latent, latent, least, 1), _conv("conv_in", latent, before, least)]
    layers += _middle(config, least)
    for i, c in zip(reversed(range(n)), reversed(channels), strict=True):
        positions = (height >> i) * (width >> i)
        for _ in range(config["layers_per_block"] + 1):
            layers += _resnet(before, c, positions, 0)
            before = c
        if i:
            layers.append(_conv("upsampler", c, c, 4 * positions))
    return [*layers, _norm(before, height * width), _conv("conv_out", before, 3, height * width)]


def transformer(width: int, layers: int, inner: int, tokens: int) -> list[Layer]:
    """One pass of a CLIP tower, text or image, without its embeddings."""
    block = [_norm(width, tokens), *(_linear(name, width, width, tokens) for name in ("q", "k", "v", "out"))]
    block += [_attention(tokens, tokens, width), _norm(width, tokens)]
    return [*block, _linear("fc1", width, inner, tokens), _linear("fc2", inner, width, tokens)] * layers


def text(configs: Iterable[TextConfig]) -> list[Layer]:
    """One prompt through text encoders, given as transformers' CLIPTextConfig."""
    return [
        layer
        for config in configs
        for layer in transformer(
            config["hidden_size"], config["num_hidden_layers"], config["intermediate_size"],
            config["max_position_embeddings"],
        )
    ]  # fmt: skip


def vision(config: Mapping[str, Any]) -> list[Layer]:
    """One image through a vision transformer, given as open_clip's `vision_cfg`."""
    width, patch = config["width"], config["patch_size"]
    patches = (config.get("image_size", 224) // patch) ** 2
    inner = int(width * config.get("mlp_ratio", 4.0))
    return [_conv("conv1", 3, width, patches, patch**2), *transformer(width, config["layers"], inner, patches + 1)]
