"""Transfer learning: which part of a network that was trained before is trained again."""

from types import MethodType

from torch import nn

from vision_app.errors import UsageError, unknown

TRANSFER = ("head", "last", "all")


def freeze(network: nn.Module, step: str) -> None:
    """Trains one part of a network and freezes the rest, whatever was frozen before.

    Args:
        network: its child `backbone` holds the stages in order, `neck` joins them; all other children are the head.
        step: "head" trains the head alone (few data); "last" the backbone's last stage, the neck and the head;
            "all" everything.

    Raises:
        UsageError: there is no such step.
    """
    if step not in TRANSFER:
        raise UsageError(unknown("transfer step", step, TRANSFER))
    stages = list(network.backbone.children())
    frozen = {"head": [*stages, network.neck], "last": stages[:-1], "all": []}[step]
    for part in (*stages, network.neck):
        if part in frozen:
            hold(part)
        else:
            part.requires_grad_(True)
            vars(part).pop("train", None)
            part.train(network.training)


def hold(part: nn.Module) -> None:
    """Freezes a part of a network: it has no gradients, and stays in evaluation mode when the network is put in
    training mode, so that the running statistics of its batch norms do not change either.
    """
    part.requires_grad_(False)
    part.train = MethodType(_stay_in_evaluation_mode, part)  # which network.train() calls
    part.train(False)


def keep_statistics(network: nn.Module) -> None:
    """Lets batch norms go on with the running statistics that they have; their weights and biases still learn.

    For a trained network whose new data, or small batches, would give it worse ones.
    """
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.train = MethodType(_stay_in_evaluation_mode, part)
            part.train(False)


def _stay_in_evaluation_mode(module: nn.Module, mode: bool = True) -> nn.Module:
    return type(module).train(module, False)
