"""Worlds: where real images come from.

real.ready()                   raises ConfigError when its data are not here
real.stock(prompt)             -> how many images of a prompt it has; None: as many as are asked for
real.draw(requests, out, tick) -> samples.parquet (data.SAMPLES) and the images, one row per request
"""
