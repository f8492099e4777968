"""Whether a picture belongs to a collection, by a classifier trained on the collection."""
