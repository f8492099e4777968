"""Both ways of reading the stored graph give the same answers: compiled, and by resolvers."""
