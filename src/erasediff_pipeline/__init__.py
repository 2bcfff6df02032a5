"""Make a diffusion model forget, and measure the result."""

import os

__version__ = "0.1.0"

if int(os.environ.get("RANK", 0)) > 0:  # only process 0 shows progress; tqdm reads this at import
    os.environ["TQDM_DISABLE"] = "1"
