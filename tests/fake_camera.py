"""A camera that Chromium takes for a real one, and that shows a picture."""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480  # pixels


def flags(path: Path) -> list[str]:
    """What Chromium is started with; it reads the file anew whenever a page turns the camera on."""
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",  # nobody is asked whether the page may use it
        f"--use-file-for-fake-video-capture={path}",
    ]


def show(path: Path, picture: np.ndarray) -> None:
    """Write what the camera shows: a picture, (H, W, 3) uint8 RGB, as large as fits in, as a Y4M video of one frame."""
    scale = min(WIDTH / picture.shape[1], HEIGHT / picture.shape[0])
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:HEIGHT, :WIDTH]
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    top, left = (HEIGHT - small.shape[0]) // 2, (WIDTH - small.shape[1]) // 2
    frame[top : top + small.shape[0], left : left + small.shape[1]] = small
    header = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420jpeg\n"
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(header.encode() + b"FRAME\n" + cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_I420).tobytes())
    unfinished.replace(path)
