"""DINOv2 and DINOv3: pictures as vectors, learned without labels."""
