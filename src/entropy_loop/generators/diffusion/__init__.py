"""Any Stable Diffusion checkpoint as a generator."""
