"""Never compute twice: results that are known, and computations that are under way."""
