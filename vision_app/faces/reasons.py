"""Why a face is unfit to be recognized, in words, and what to do about it. The codes are those of `Quality.reasons`."""

import math

from vision_app.faces.quality import MIN_SIZE, Quality

_WORDS = {  # code: (what the face is, what helps)
    "too_small": ("too small ({size} px; at least {least} needed)", "Use a closer photo"),
    "blurred": ("blurred", "Use a sharper photo"),
    "extreme_pose": ("turned away too far", "Use a photo that looks at the camera"),
    "under_exposed": ("too dark", "Use a photo with more light"),
    "over_exposed": ("too bright", "Use a photo with less light"),
    "unsure_landmarks": ("turned or too unclear to locate eyes, nose and mouth", "Use an upright, clear photo"),
    "unnatural_shape": ("stretched or squeezed", "Use a photo of natural proportions"),
    "unnatural_tone": ("in unnatural tones, as in a negative", "Use a photo of natural tones"),
    "mouth_covered": ("covered at the mouth", "Use a photo without a mask"),
    "eyes_covered": ("covered at the eyes", "Use a photo without sunglasses"),
    "degraded": ("pixelated, noisy or heavily compressed", "Use a clearer photo, such as the original file"),
    "half_hidden": ("half hidden or cut off", "Use a photo that shows the whole face"),
}

CODES = tuple(_WORDS)


def problem(quality: Quality) -> str:
    """Return what a face is, such as "too small (12 px; at least 24 needed), blurred"; empty where it is fit."""
    values = {"size": math.floor(quality.size), "least": math.ceil(MIN_SIZE)}
    return ", ".join(_words(code)[0].format(**values) for code in quality.reasons)


def advice(quality: Quality) -> str:
    """Return what helps against the first reason; empty where the face is fit."""
    return next((_words(code)[1] for code in quality.reasons), "")


def _words(code: str) -> tuple[str, str]:
    return _WORDS.get(code, (code.replace("_", " "), "Use another photo"))
