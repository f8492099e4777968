"""What a picture of a face shows of its skin, measured: colour, lines, pores, spots, shine."""
