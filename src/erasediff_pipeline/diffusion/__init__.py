"""The model seam, noising and loss, guidance and sampling."""
