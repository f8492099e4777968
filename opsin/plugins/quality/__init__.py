"""How good a picture is, measured: sharpness, exposure, contrast, noise, colourfulness."""
