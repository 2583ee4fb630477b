"""Generators: what makes images and learns from them. Their contract is `contracts.Generator`.

A sample depends on its request and model alone, never on how many others are asked for or in which order.
"""
