"""Worlds: sources of real images, labelled images, and changes to images. Real data's contract is `contracts.Real`."""
