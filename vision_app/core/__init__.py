"""The vocabulary of the package: images, boxes, results, errors, files."""
