"""Loads, before anything is forked, what runs of the bundled checkpoint need. Computes nothing: threads do not fork."""

import diffusers  # noqa: F401
import open_clip  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401
from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel  # noqa: F401
