"""Generators: what makes images and learns from them.

The contract, in four calls; the scratch folder to write into and a progress callback come last:

    ready(prompts, settings)                           -> nothing, or a ConfigError before anything is made
    base(out, tick)                                    -> generation 0's model
    sample(model, requests, out, tick)                 -> samples.parquet (data.SAMPLES) and its files
    train(start, diet, settings, step_seeds, out, tick) -> the next model

Two more where samples can be made in parts, by several workers:

    split(requests)  -> lists of requests, in their order
    join(parts, out) -> the samples as if they had been made at once

A sample depends on its request and model alone, never on how many others are asked for or in which order.
"""
