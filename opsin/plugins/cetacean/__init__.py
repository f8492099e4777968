"""Which whale or dolphin is this: gate, detector, embedder, matcher, open-set rule, taxonomy."""
