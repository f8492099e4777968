"""One model behind each of several servers: the same pictures, the same torch module, two cores."""
