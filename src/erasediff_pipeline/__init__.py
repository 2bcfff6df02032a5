"""EraseDiff and its neighbours: make a diffusion model forget, and show that it did."""

__version__ = "0.1.0"
