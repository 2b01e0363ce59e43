"""Image v2: images, their bytes, tags and members."""
