"""What runs the stages: a file for each, and one for each operation that joins them."""
