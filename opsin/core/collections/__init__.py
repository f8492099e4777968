"""Labelled embeddings: a classifier's training set, a gallery of individuals."""
