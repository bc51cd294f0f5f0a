import json

import numpy as np
import torch

from vision_app.faces.align import TEMPLATE
from vision_app.faces.model.aligned import ByteLandmarks, ByteQuality, LandmarkNetwork, QualityNetwork


def tiny():
    torch.manual_seed(0)
    return QualityNetwork(3, (4, 4, 6, 6, 8), (2, 5)).eval()


def test_a_face_gets_cosine_and_sine_and_a_probability_for_each_check_whatever_else_is_in_the_batch():
    module, faces = ByteQuality(tiny()), torch.randint(0, 256, (3, 112, 112, 3), dtype=torch.uint8)
    with torch.inference_mode():
        together, alone = module(faces).numpy(), module(faces[1:2]).numpy()
        logits = module.network(faces.permute(0, 3, 1, 2).float()).numpy()
    assert together.shape == (3, 5)
    np.testing.assert_allclose(together[:, :2], logits[:, :2], atol=1e-6)
    np.testing.assert_allclose(together[:, 2:], 1 / (1 + np.exp(-logits[:, 2:])), atol=1e-6)
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5)


def test_a_face_is_seen_by_the_means_of_two_by_two_pixels():
    network, faces = tiny(), torch.rand(2, 3, 112, 112) * 255
    means = torch.nn.functional.avg_pool2d(faces, 2)
    torch.testing.assert_close(network(faces), network(means), atol=1e-4, rtol=1e-4)


def test_the_shape_of_the_network_survives_json():
    network = tiny()
    copy = QualityNetwork.from_dict(json.loads(json.dumps(network.to_dict() | {"type": "face-quality"})))
    copy.load_state_dict(network.state_dict())
    assert copy.to_dict() == network.to_dict()


def test_landmarks_are_places_of_the_template_and_what_the_network_adds_in_distances_between_the_eyes():
    torch.manual_seed(1)
    faces = torch.zeros(3, 112, 112, 3, dtype=torch.uint8)
    module = ByteLandmarks(LandmarkNetwork((4, 4, 6, 6, 8), (2, 5)).eval(), TEMPLATE)
    faces[1] = 200
    with torch.inference_mode():
        places, away = module(faces).numpy(), module.network(faces.permute(0, 3, 1, 2).float()).numpy()
    assert places.shape == (3, 5, 2)
    for row, (x, y) in enumerate(TEMPLATE):
        np.testing.assert_allclose(places[:, row, 0], x + 35.24 * away[:, 2 * row], atol=1e-4)
        np.testing.assert_allclose(places[:, row, 1], y + 35.24 * away[:, 2 * row + 1], atol=1e-4)


def test_the_shape_of_the_landmark_network_survives_json():
    network = LandmarkNetwork((4, 4, 6, 6, 8), (2, 5))
    copy = LandmarkNetwork.from_dict(json.loads(json.dumps(network.to_dict() | {"type": "face-landmarks"})))
    copy.load_state_dict(network.state_dict())
    assert copy.to_dict() == network.to_dict()
