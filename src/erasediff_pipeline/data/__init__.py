"""Sources of images, the forget request, and the split that it makes."""
