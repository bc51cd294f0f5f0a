"""A camera that Chromium takes for a real one, and that shows images."""

from pathlib import Path

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480  # pixels
RATE = 5  # frames a second
SECONDS = 4  # that each of several images is shown, in turn


def flags(path: Path) -> list[str]:
    """What Chromium is started with; it reads the file again whenever a page turns the camera on."""
    return [
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",  # nobody is asked whether the page may use it
        f"--use-file-for-fake-video-capture={path}",
        "--allow-loopback-in-peer-connection",  # live video between programs of one machine,
        "--disable-features=WebRtcHideLocalIpsWithMdns",  # which call each other by address
    ]


def show(path: Path, *images: np.ndarray) -> None:
    """Write what the camera shows, again and again: (H, W, 3) uint8 RGB, as large as fits in, as a Y4M video."""
    header = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F{RATE}:1 Ip A1:1 C420jpeg\n"
    frames = [b"FRAME\n" + cv2.cvtColor(_fitted(image), cv2.COLOR_RGB2YUV_I420).tobytes() for image in images]
    repeats = RATE * SECONDS if len(frames) > 1 else 1
    path.write_bytes(header.encode() + b"".join(repeats * frame for frame in frames))


def _fitted(image: np.ndarray) -> np.ndarray:
    """(HEIGHT, WIDTH, 3) the image in the middle of black."""
    scale = min(WIDTH / image.shape[1], HEIGHT / image.shape[0])
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)[:HEIGHT, :WIDTH]
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    top, left = (HEIGHT - small.shape[0]) // 2, (WIDTH - small.shape[1]) // 2
    frame[top : top + small.shape[0], left : left + small.shape[1]] = small
    return frame
