"""The classifiers of samples: trained here, or pretrained."""
