"""The image_embed API: tasks on one picture, asked for and answered in one request."""
