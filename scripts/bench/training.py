"""B3, B4, B12: our training against the recipe of diffusers' examples, and the number of VAE encodings."""

from __future__ import annotations

from scripts.bench import harness

IMAGES, STEPS, BATCH, RATE, RANK = 64, 200, 4, 5e-5, 4


def main() -> None:
    file = harness.start()
    import numpy as np
    import pandas as pd
    import torch
    from diffusers import DDPMScheduler
    from PIL import Image

    from entropy_loop import assets
    from entropy_loop.data import Checkpoint, Diet, TrainSettings
    from entropy_loop.generators.diffusion import diet, finetune
    from entropy_loop.generators.diffusion.diffusion import Diffusion
    from entropy_loop.worlds.storybook import scene
    from scripts.bench.peers import sampling as peer
    from scripts.bench.peers import training as recipe

    torch.set_num_threads(harness.THREADS)
    checkpoint = assets.find("bundled:storybook")
    ours = Diffusion("bundled:storybook", block=32)
    count = iter(range(10_000))
    rows, encoded = [], []
    with harness.temporary_folder() as root:
        base = root / "base"
        base.mkdir()
        ours.base(base, harness.ignore)
        for i in range(IMAGES):
            Image.fromarray(scene.render(scene.sample(1, i))).save(root / f"{i}.png")
        files = [root / f"{i}.png" for i in range(IMAGES)]
        table = pd.DataFrame(
            {"file": [f.name for f in files], "folder": str(root), "real": False, "prompt": harness.ESSAY}
        )
        parts = ours.model()
        encode = parts.pipe.vae.encode
        parts.pipe.vae.encode = lambda x: encoded.append(len(x)) or encode(x)

        def make(method: str) -> list[float]:
            out = root / f"out{next(count)}"
            out.mkdir()
            parts.moments.clear()
            settings = TrainSettings(
                method=method, max_train_steps=STEPS, train_batch_size=BATCH, learning_rate=RATE, rank=RANK
            )
            ours.train(Checkpoint(base), Diet(table), settings, list(range(STEPS)), out, harness.ignore)
            return pd.read_csv(out / "training.csv")["loss"].tolist()

        def gradients(use_ours: bool) -> torch.Tensor:
            """Gradients of one batch's loss, with the same latents, noise, timesteps and captions on both sides."""
            pipe, settings = peer.load(checkpoint), TrainSettings(train_batch_size=BATCH)
            with torch.no_grad():
                fed = diet.encode(parts, Diet(table), 32)
            schedule = DDPMScheduler.from_config(pipe.scheduler.config)
            batch = finetune.draw(schedule, fed, np.arange(BATCH), settings, 7)
            unet = pipe.unet.train()
            if use_ours:
                loss = finetune.loss_of(unet, schedule, fed, batch, settings)
            else:
                states = pipe.encode_prompt([harness.ESSAY], "cpu", BATCH, False)[0]
                loss = recipe.error(unet, schedule, batch.latents, batch.noise, batch.t, states)
            loss.backward()
            return torch.cat([p.grad.flatten() for p in unet.parameters()])

        both = [gradients(use_ours) for use_ours in (True, False)]
        harness.same("gradients", bool((both[0] - both[1]).norm() < 1e-5 * both[1].norm()))

        for id_, method, rank in (("B4", "full", 0), ("B3", "lora", RANK)):
            losses = [make(method), recipe.train(peer.load(checkpoint), files, harness.ESSAY, STEPS, BATCH, RATE, rank)]
            means = [float(np.mean(values)) for values in losses]
            harness.same("mean losses", abs(means[0] / means[1] - 1) < 0.2 and len(losses[0]) == len(losses[1]))
            times = []
            for _ in range(3):
                seconds = harness.seconds(lambda method=method: make(method))
                pipe = peer.load(checkpoint)
                peer_seconds = harness.seconds(
                    lambda pipe=pipe, rank=rank: recipe.train(pipe, files, harness.ESSAY, STEPS, BATCH, RATE, rank)
                )
                times.append((seconds, peer_seconds))
            note = f"gradients of one batch equal to 1e-5; mean loss {means[0]:.3f} / {means[1]:.3f}; ours includes encoding, loading and saving the weights"
            rows.append(harness.Row(id_, f"diffusers' {method} recipe", *harness.ratio(times), 3, "x", ">= 1.3", note))
        encoded.clear()
        make("full")
        rows.append(
            harness.Row(
                "B12",
                f"VAE encodes, {STEPS * BATCH} presentations of {IMAGES}",
                *[sum(encoded)] * 3,
                1,
                "images",
                f"= {IMAGES}",
            )
        )
    harness.report(rows, file)


if __name__ == "__main__":
    main()
