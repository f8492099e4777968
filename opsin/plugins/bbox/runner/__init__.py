"""The models behind the boxes: torchvision's detectors, and MTCNN for faces."""
