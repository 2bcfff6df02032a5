"""EraseDiff and its neighbours: make a diffusion model forget, and show that it did."""

import os

__version__ = "0.1.0"

if int(os.environ.get("RANK", 0)) > 0:  # one shows progress; tqdm asks as it is imported
    os.environ["TQDM_DISABLE"] = "1"
