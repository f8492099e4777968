"""What runs CLIP: its image tower, its text tower, and what is made of both."""
