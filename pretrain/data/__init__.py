"""What the network sees: images in their order, and the random views of them."""
