"""The one training loop, for base models and for every unlearning method."""
