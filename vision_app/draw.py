"""Boxes drawn on pictures and pieces cut out of them."""


def draw(image, detections):
    raise NotImplementedError


def crop(image, box, margin=0.0):
    raise NotImplementedError
