"""Judges: what looks at images. A scorer ranks them for curation, a recogniser answers for each concept.

scorer.score(samples, prompts, out, tick)             -> scores.parquet (data.SCORES), one row per image
                                                         of the given prompts
recogniser.judge(samples, prompts, concepts, out, tick) -> judgements.parquet (data.JUDGEMENTS), one row per
                                                         image and concept of its prompt
embedder.embed(samples, out, tick)                      -> embeddings.npy and noise.parquet, one row per image
reader.read(samples, out, tick)                         -> attributes.parquet, one row per image and attribute
"""
