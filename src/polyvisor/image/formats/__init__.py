"""What is checked of each disk format, one per file; `polyvisor.image.inspect` decides which applies."""
