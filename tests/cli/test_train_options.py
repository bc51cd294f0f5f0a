"""What the folder of a run keeps to be resumed with; whole runs that resume are in test_train_detector."""

import pytest

from vision_app.cli import main
from vision_app.detection.train import trainer as train


def test_what_a_run_keeps_of_its_options_starts_another_like_it(tmp_path, monkeypatch):
    """Also with a model's name, two sets and a switch that is off; paths hold in any folder."""
    kept, seen = [], []

    def train_instead(data, validation, output, config, options, *, initial, callbacks, **more):
        seen.append((data, validation, config, options, initial))
        output.mkdir()
        callbacks[0].on_start(output, None, config)
        kept.append((output / "options.yaml").resolve())

    monkeypatch.setattr(train, "train", train_instead)
    monkeypatch.chdir(tmp_path)
    for name in ("a.json", "b: \u00e9.json", "elsewhere"):
        (tmp_path / name).mkdir()
    start = ["--data", "a.json", "--data", "b: \u00e9.json", "--initial", "yolo", "--no-multi-scale", "--clip", "1e-3"]
    assert main(["train", "yolo", *start, "--output", "one"]) == 0
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert main(["train", "yolo", "--config", str(kept[0]), "--output", "two"]) == 0
    (data, *first), (other, *second) = seen
    assert first == second and first[2].multi_scale is False and first[1].clip == 1e-3 and str(first[3]) == "yolo"
    assert other == [tmp_path / path for path in data]
    assert kept[0].read_bytes() == kept[1].read_bytes()


@pytest.mark.parametrize("checkpoint", [False, True])
def test_control_c_before_the_first_checkpoint_says_so(tmp_path, monkeypatch, capsys, checkpoint):
    def interrupted(data, validation, output, *words, **more):
        if checkpoint:
            (output / "last.safetensors").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "train", interrupted)
    code = main(["train", "yolo", "--data", str(tmp_path), "--output", str(tmp_path)])
    last = "stopped before the first checkpoint; nothing to resume: run the same command to start over\n"
    assert (code, capsys.readouterr().out) == (130, "" if checkpoint else last)


def test_a_folder_without_a_run_has_no_options_to_resume_with(tmp_path, capsys):
    assert main(["train", "yolo", "--output", str(tmp_path), "--resume"]) == 2
    said = capsys.readouterr().err
    assert said == f"vision-app: Missing option '--data'. {tmp_path} has no options.yaml to take it from.\n"
