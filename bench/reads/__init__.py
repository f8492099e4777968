"""Nested reads beside raw SQL, PostGraphile, Strawberry with DataLoaders, and Strawchemy."""
