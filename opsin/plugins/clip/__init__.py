"""CLIP: pictures and texts in one space of vectors, and classes named by text."""
