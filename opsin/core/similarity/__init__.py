"""Embeddings that are stored, and the pictures that are like one another."""
