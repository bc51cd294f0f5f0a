"""Encoders: they see what a plain VGG sees, and are found where they are said to be."""

import hashlib
import shutil

import pytest
import torch
import torchvision
from tiny_styles import tiny_encoder, write_tiny_encoder, write_tiny_fast
from torch.nn import functional as F
from torchvision.models import VGG19_Weights

from vision_app.core.errors import ModelError
from vision_app.style.model.features import LAYERS, STYLE_LAYERS, VGG19, EncoderConfig, EncoderNetwork, load_encoder

SLICES = {"conv1_1": 2, "conv2_1": 7, "conv3_1": 12, "conv4_1": 21, "conv4_2": 23, "conv5_1": 30}  # in torchvision


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    """Torchvision's VGG-19 with random weights, and the file of these."""
    torch.manual_seed(0)
    network = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["E"]).eval()  # without its large head
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({f"features.{key}": value for key, value in network.state_dict().items()}, path)
    return network, path


def test_vgg19_matches_torchvision(vgg):
    theirs, path = vgg
    ours = load_encoder(path)
    assert ours.config == VGG19 and not any(parameter.requires_grad for parameter in ours.parameters())
    images = torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(1))
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalized = (images - mean[:, None, None]) / deviation[:, None, None]
    features = ours(images)
    assert tuple(features) == LAYERS
    with torch.no_grad():
        for name, end in SLICES.items():
            torch.testing.assert_close(features[name], theirs[:end](normalized), rtol=1e-4, atol=1e-5)


def test_only_requested_layers_are_computed(monkeypatch):
    network, images = tiny_encoder(), torch.rand(1, 3, 64, 64)
    whole = network(images)
    assert {name: tuple(x.shape) for name, x in whole.items()} == {
        "conv1_1": (1, 4, 64, 64), "conv2_1": (1, 6, 32, 32), "conv3_1": (1, 8, 16, 16), "conv4_1": (1, 8, 8, 8),
        "conv4_2": (1, 8, 8, 8), "conv5_1": (1, 8, 4, 4),
    }  # fmt: skip
    part = network(images, ["conv2_1"])
    assert list(part) == ["conv2_1"] and torch.equal(part["conv2_1"], whole["conv2_1"])
    network.convs["conv3_1"].weight.fill_(torch.nan)
    assert network(images, ["conv2_1"])["conv2_1"].isfinite().all()
    with pytest.raises(ValueError, match="no layer conv9_9; there are conv1_1, conv1_2"):
        network(images, ["conv9_9"])


def test_padding_reflects_borders_or_is_zero():
    images = torch.rand(1, 3, 32, 32)
    for padding, mode in (("reflect", "reflect"), ("zeros", "constant")):
        network = EncoderNetwork(EncoderConfig(widths=(4,), depths=(1,), padding=padding))
        conv = network.convs["conv1_1"]
        expected = F.relu(F.conv2d(F.pad(images, (1, 1, 1, 1), mode=mode), conv.weight, conv.bias))
        torch.testing.assert_close(network(images, ["conv1_1"])["conv1_1"], expected)


def test_heads_map_features_to_the_widths_of_a_teacher():
    network = tiny_encoder(heads=(5, 6, 7, 8, 0, 9))
    features = network(torch.rand(1, 3, 32, 32))
    taught = network.teach(features)
    assert {name: x.shape[1] for name, x in taught.items()} == dict(zip(STYLE_LAYERS, (5, 6, 7, 8, 9), strict=True))
    head = network.heads["conv2_1"]
    expected = torch.einsum("oi,bihw->bohw", head.weight[:, :, 0, 0], features["conv2_1"]) + head.bias[:, None, None]
    torch.testing.assert_close(taught["conv2_1"], expected.clamp(min=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"widths": (4, 4)}, "2 widths and 5 depths"),
        ({"padding": "wrap"}, "padding 'wrap': must be one of reflect, zeros"),
        ({"heads": (4,)}, "1 heads: must be none or one for each of conv1_1"),
    ],
)
def test_an_impossible_architecture_is_refused(changes, reason):
    with pytest.raises(ValueError, match=reason):
        EncoderConfig(**changes)


def test_a_model_folder_reads_back(tmp_path):
    folder = write_tiny_encoder(tmp_path / "seen")
    network, images = load_encoder(folder), torch.rand(1, 3, 32, 32)
    written = tiny_encoder()
    assert network.config == written.config and not network.training
    for name, x in network(images).items():
        torch.testing.assert_close(x, written(images)[name], rtol=1e-2, atol=1e-2)  # stored in half precision


@pytest.fixture
def server(vgg, tmp_path, monkeypatch):
    """A file stands for the server; the name of the one it has, and the folder in which torch keeps such files."""
    _, path = vgg
    name = f"vgg19-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
    (tmp_path / "server").mkdir()
    shutil.copy(path, tmp_path / "server" / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(VGG19_Weights.IMAGENET1K_V1.value, "url", (tmp_path / "server" / name).as_uri())
    return tmp_path / "server" / name, tmp_path / "hub" / "checkpoints"


def test_vgg19_is_downloaded_once_and_its_whole_digest_remembered(vgg, server, capsys):
    theirs, file, home = vgg[0], *server
    assert torch.equal(load_encoder("vgg19").convs["conv5_1"].weight, theirs[28].weight)
    assert capsys.readouterr().err.startswith(f"vgg19: fetching {file.as_uri()} (548 MB) to {home}\n")
    assert (home / f"{file.name}.sha256").read_text().split()[0] == hashlib.sha256(file.read_bytes()).hexdigest()
    file.unlink()
    assert torch.equal(load_encoder("vgg19").convs["conv5_1"].weight, theirs[28].weight)
    assert capsys.readouterr().err == ""


def test_vgg19_that_was_changed_or_replaced_since_is_refused(server):
    """The name of published weights holds eight characters of their digest, which another file may have, too."""
    file, home = server
    load_encoder("vgg19")
    kept = home / f"{file.name}.sha256"
    kept.write_text(f"{file.stem[-8:]}{'0' * 56}  {file.name}\n")  # as if a file alike had been used first
    with pytest.raises(ModelError, match=rf"changed, its digest is not the one in {kept.name}; delete both if"):
        load_encoder("vgg19")
    with (home / file.name).open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(ModelError, match=rf"{file.name}: damaged or changed, its digest does not begin with"):
        load_encoder("vgg19")


def test_a_wrong_file_for_vgg19_is_not_kept(server):
    file, home = server
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ModelError, match=r"^vgg19: cannot fetch its weights .invalid hash value"):
        load_encoder("vgg19")
    assert list(home.iterdir()) == []


def test_without_internet_the_error_says_where_to_put_the_weights_of_vgg19(server, monkeypatch):
    def refuse(*words, **options):
        raise OSError("Name or service not known")

    monkeypatch.setattr("torch.hub.urlopen", refuse)
    file, home = server
    reason = rf"^vgg19: cannot fetch its weights .Name or service not known.; put {file.as_uri()} at {home / file.name}"
    with pytest.raises(ModelError, match=reason):
        load_encoder("vgg19")


def test_files_that_hold_something_else_are_refused_by_name(tmp_path):
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    for name, reason in (
        ("text.pth", "not a file of torch weights"),
        ("other.pth", "not the weights of torchvision's VGG-19"),
        ("missing.pth", "cannot be read"),
    ):
        with pytest.raises(ModelError, match=f"{name}: {reason}"):
            load_encoder(tmp_path / name)
    write_tiny_fast(tmp_path / "fast")
    with pytest.raises(ModelError, match="is for style-transfer, not for style-features"):
        load_encoder(tmp_path / "fast")
    with pytest.raises(ModelError, match="nothing"):
        load_encoder("nothing")
