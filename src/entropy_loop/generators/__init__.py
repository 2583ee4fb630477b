"""Generators make images and are trained on diets of them. Their contract is `contracts.Generator`.

An image depends on its request and the model alone, not on how many others are made or in which order.
"""
