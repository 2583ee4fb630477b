"""The FLOP ledger against diffusers' own modules, without weights, and against published figures."""

from __future__ import annotations

import pytest
import torch
from accelerate import init_empty_weights
from checkpoints import BUNDLED
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from entropy_loop.generators.diffusion import geometry
from entropy_loop.machine import flops

SHAPES = {
    "bundled": geometry.read(BUNDLED),
    "sd15": geometry.SD15,
    "sd21": geometry.SD21,
    "sdxl": geometry.SDXL,
}


@pytest.fixture(params=SHAPES, scope="module")
def shape(request) -> geometry.Geometry:
    return SHAPES[request.param]


def modules(shape: geometry.Geometry) -> tuple[UNet2DConditionModel, AutoencoderKL]:
    with init_empty_weights():
        return UNet2DConditionModel.from_config(shape.unet), AutoencoderKL.from_config(shape.vae)


def counted(call, *arguments: torch.Tensor, **keywords: object) -> float:
    """TFLOP that torch counts in a call on the meta device."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*arguments, **keywords)
    return counter.get_total_flops() * 1e-12


def test_parameters_are_those_of_the_modules(shape):
    """UNet, encoder and decoder have exactly as many weights as diffusers gives them."""
    unet, vae = modules(shape)
    assert flops.parameters(flops.unet(shape.unet, 64, 64, 77)) == sum(p.numel() for p in unet.parameters())
    both = flops.parameters(flops.encoder(shape.vae, 64, 64)) + flops.parameters(flops.decoder(shape.vae, 64, 64))
    assert both == sum(p.numel() for p in vae.parameters())


def test_flop_are_those_that_torch_counts(shape):
    """UNet, encoder and decoder at two sizes: what torch's own counter finds, within one in a thousand."""
    unet, vae = modules(shape)
    unet.set_default_attn_processor()
    channels, factor = shape.unet["in_channels"], shape.factor
    added = {}
    if shape.unet.get("addition_embed_type"):
        pooled = shape.text[-1]["projection_dim"]
        conditions = {
            "text_embeds": torch.empty(1, pooled, device="meta"),
            "time_ids": torch.empty(1, 6, device="meta"),
        }
        added = {"added_cond_kwargs": conditions}
    for height, width in ((32, 32), (16, 48)):
        z = torch.empty(1, channels, height, width, device="meta")
        states = torch.empty(1, 77, shape.unet["cross_attention_dim"], device="meta")
        expected = counted(unet, z, torch.empty(1, device="meta"), encoder_hidden_states=states, **added)
        assert flops.tflop(flops.unet(shape.unet, height, width, 77)) == pytest.approx(expected, rel=1e-3)
        pixels = torch.empty(1, 3, height * factor, width * factor, device="meta")
        size = height * factor, width * factor
        assert flops.tflop(flops.encoder(shape.vae, *size)) == pytest.approx(counted(vae._encode, pixels), rel=1e-3)
        latent = torch.empty(1, shape.vae["latent_channels"], height, width, device="meta")
        assert flops.tflop(flops.decoder(shape.vae, *size)) == pytest.approx(counted(vae._decode, latent), rel=1e-3)


def test_text_encoders_have_the_flop_that_torch_counts(shape):
    """One prompt through every text encoder, without its projection."""
    expected = 0.0
    for config in shape.text:
        known = {name: value for name, value in config.items() if name in CLIPTextConfig().to_dict()}
        with init_empty_weights():
            encoder = CLIPTextModel(CLIPTextConfig(**known))
        ids = torch.zeros(1, config["max_position_embeddings"], dtype=torch.int64, device="meta")
        hidden = torch.empty(1, ids.shape[1], config["hidden_size"], device="meta")
        layers = getattr(encoder, "text_model", encoder).encoder
        expected += counted(layers, inputs_embeds=hidden)
    assert flops.tflop(flops.text(shape.text)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("shape", "unet", "adapters"),
    [("sd15", 859_520_964, 797_184), ("sd21", 865_910_724, None), ("sdxl", 2_567_463_684, None)],
)
def test_published_counts(shape, unet, adapters):
    """Stable Diffusion's published parameter counts, and those of the usual LoRA of rank 4."""
    layers = flops.unet(SHAPES[shape].unet, 64, 64, 77)
    assert flops.parameters(layers) == unet
    if adapters:
        targets = ("to_q", "to_k", "to_v", "to_out.0")
        assert flops.parameters(flops.adapters(layers, targets, 4)) == adapters


def test_published_counts_of_the_other_parts():
    """The autoencoder of every Stable Diffusion, CLIP's text encoders in SD 1.5, SD 2.1 and SDXL, as published."""
    for shape in (geometry.SD15, geometry.SD21, geometry.SDXL):
        assert sum(p.numel() for p in modules(shape)[1].parameters()) == 83_653_863
    texts = [(geometry.SD15, 0, 123_060_480), (geometry.SD21, 0, 340_387_840), (geometry.SDXL, 0, 123_060_480)]
    for shape, place, count in [*texts, (geometry.SDXL, 1, 694_659_840)]:
        known = {name: value for name, value in shape.text[place].items() if name in CLIPTextConfig().to_dict()}
        with init_empty_weights():
            encoder = (CLIPTextModelWithProjection if place else CLIPTextModel)(CLIPTextConfig(**known))
        assert sum(p.numel() for p in encoder.parameters()) == count


def test_published_work():
    """SD 1.5 at 512 pixels: 401.6 GMAC a forward pass, of them 222.0 conv, 116.6 linear and 63.0 attention; SDXL at
    1024 pixels 3381 GMAC."""
    layers = flops.unet(geometry.SD15.unet, 64, 64, 77)
    gmac = {kind: flops.tflop(layers, kind) * 500 for kind in ("conv", "linear", "attention")}
    assert gmac == pytest.approx({"conv": 222.0, "linear": 116.6, "attention": 63.0}, abs=0.1)
    assert flops.tflop(flops.unet(geometry.SDXL.unet, 128, 128, 77)) * 500 == pytest.approx(3381, rel=1e-3)
    assert flops.tflop(flops.decoder(geometry.SD15.vae, 512, 512)) == pytest.approx(2.51, abs=0.03)
    assert flops.tflop(flops.encoder(geometry.SD15.vae, 512, 512)) == pytest.approx(1.12, abs=0.03)
