"""The classifiers that judge samples: trained here, or taken as they are."""
