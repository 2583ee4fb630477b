"""Small checkpoints with random weights, for what the bundled one does not have: SDXL's form, a safety checker."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from diffusers import DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

from entropy_loop import assets

BUNDLED = assets.find("bundled:storybook")
WIDTH = 32


def tiny_xl(folder: Path) -> Path:
    """A pipeline in the form of SDXL: two text encoders, pooled embeddings, time ids; the bundled VAE and words."""
    from diffusers import AutoencoderKL

    tokenizer = CLIPTokenizer.from_pretrained(BUNDLED / "tokenizer")
    text = CLIPTextConfig(
        vocab_size=len(tokenizer), hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length, projection_dim=WIDTH,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=8, in_channels=8, out_channels=8, block_out_channels=(32, 64), layers_per_block=1,
            norm_num_groups=8, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2),
            attention_head_dim=(2, 4), use_linear_projection=True, cross_attention_dim=2 * WIDTH,
            addition_embed_type="text_time", addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        )  # fmt: skip
        encoders = CLIPTextModel(text), CLIPTextModelWithProjection(text)
    StableDiffusionXLPipeline(
        vae=AutoencoderKL.from_pretrained(BUNDLED / "vae"),
        text_encoder=encoders[0],
        text_encoder_2=encoders[1],
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler.from_pretrained(BUNDLED / "scheduler"),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def with_checker(folder: Path, rejects: bool) -> Path:
    """The bundled checkpoint with a safety checker that rejects everything, or nothing."""
    shutil.copytree(BUNDLED, folder)
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 16, "projection_dim": 16,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        checker = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=16))
    # It rejects an image when a cosine is above the threshold; none is above 2.
    checker.concept_embeds_weights.data.fill_(-2.0 if rejects else 2.0)
    checker.special_care_embeds_weights.data.fill_(2.0)
    checker.save_pretrained(folder / "safety_checker")
    size = {"height": 32, "width": 32}
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder / "feature_extractor")
    return folder
