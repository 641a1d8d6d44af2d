r"""Continual learning: what holds a policy to the tasks that it learnt before, and how much of them it has kept.

Elastic weight consolidation (EWC) holds its parameters, each as firmly as it mattered; learning without forgetting
(LwF) holds what it says. The figures at the end are read from a matrix :math:`a_{t,i}`, the accuracy (or success rate,
or mean return) on task i after learning task t, both in the order in which the tasks were learnt. Replayed episodes
are another policy's: ``truncated_importance_weight`` of ``ss_trainers.functional.ratios`` weighs their tokens.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ss_trainers.functional.aggregation import token_mean
from ss_trainers.functional.divergences import k3

# --- elastic weight consolidation ----------------------------------------------------------------


def ewc_penalty(
    parameters: Sequence[Tensor], anchors: Sequence[Tensor], fisher: Sequence[Tensor], weight: float
) -> Tensor:
    r"""A spring from each parameter to where it was, as stiff as the parameter mattered.

    .. math:: \frac\lambda2 \sum_i F_i\,(\theta_i - \theta^*_i)^2

    EWC, Kirkpatrick et al. 2017, arXiv:1612.00796, equation 3: the sum runs over all elements of all tensors, and is
    not divided by their number. A NaN in the parameters is one in the penalty.

    Args:
        parameters: float (...) each, differentiable.
        anchors: theta*, the parameters after the previous task, of the same shapes; copies, or they move along.
        fisher: F, of ``diagonal_fisher`` or ``merged_fisher``, of the same shapes.
        weight: lambda, 0 or more.

    Returns:
        scalar, whose gradient is :math:`\lambda F_i (\theta_i - \theta^*_i)`; none flows to the anchors or F.

    Raises:
        ValueError: if there are no parameters, shapes do not fit, or the weight is negative or not finite.

    >>> penalty = ewc_penalty([torch.tensor([1.1, 2.3])], [torch.tensor([1.0, 2.0])], [torch.tensor([0.5, 0.01])], 100)
    >>> round(penalty.item(), 4)
    0.295
    """
    _require_weight(weight)
    _require_fit("anchors", anchors, parameters)
    _require_fit("fisher", fisher, parameters)
    terms = [
        (importance.detach() * (parameter - anchor.detach()).square()).sum()
        for parameter, anchor, importance in zip(parameters, anchors, fisher, strict=True)
    ]
    return weight / 2 * torch.stack(terms).sum()


def diagonal_fisher(gradients: Iterable[Sequence[Tensor]]) -> list[Tensor]:
    r"""How much each parameter mattered: the mean over samples of the *square* of each sample's gradient.

    .. math:: F_i = \frac1N \sum_{n=1}^N \Bigl(\frac{\partial \log p_\theta(y_n \mid x_n)}{\partial \theta_i}\Bigr)^2

    The diagonal of the Fisher information, Kirkpatrick et al. 2017, arXiv:1612.00796, section 2, if every y is drawn
    from the model itself, as the actions of a rollout are; with a log's actions it is the "empirical" Fisher. The
    square of a batch's mean gradient is something else, for such samples on average N times smaller (van de Ven 2025,
    arXiv:2502.11756). An action is *one* sample, however many tokens it has, and so is a whole episode: its gradient
    is that of the sum of its action tokens' log-probabilities (``ratios.sequence_logprob``), without an advantage.

    Args:
        gradients: for each sample, the gradient of its log-probability in each parameter; float (...) each. They may
            come one after the other from a generator, so that one sample is held at a time. Of gradients that are
            stacked, (N, ...) a parameter, give ``zip(*stacked)``.

    Returns:
        float (...) of each parameter's shape, of float32 at least, without gradient.

    Raises:
        ValueError: if there are no samples or no gradients, shapes differ between samples, or a square is NaN or
            infinite.

    >>> diagonal_fisher([[torch.tensor([1.0, 3.0])], [torch.tensor([-1.0, 1.0])]])
    [tensor([1., 5.])]
    """
    totals: list[Tensor] = []
    count = 0
    for sample in gradients:
        squares = [each.detach().to(torch.promote_types(each.dtype, torch.float32)).square() for each in sample]
        totals = totals or [torch.zeros_like(square) for square in squares]
        _require_fit(f"the gradients of sample {count}", squares, totals)
        for place, (total, square) in enumerate(zip(totals, squares, strict=True)):
            if not bool(torch.isfinite(square).all()):
                raise ValueError(
                    f"the square of gradient {place} of sample {count} is NaN or infinite: leave out the sample, or "
                    "compute its gradient in float32"
                )
            total += square
        count += 1
    if not count:
        raise ValueError("the Fisher information is a mean over samples, and there are none: give at least one")
    return [total / count for total in totals]


def merged_fisher(fisher: Sequence[Tensor], new_fisher: Sequence[Tensor], decay: float) -> list[Tensor]:
    r"""How much each parameter matters to all tasks so far, earlier ones the less the longer ago they were.

    .. math:: F \leftarrow \gamma\,F + F_{new}

    Online EWC, Schwarz et al. 2018, arXiv:1805.06370: one F and one anchor, the parameters after the *newest* task,
    whatever the number of tasks. With :math:`\gamma = 1` nothing fades; with 0 only the newest task is held.

    Args:
        fisher: float (...) each; F so far.
        new_fisher: of the task that was just learnt, of the same shapes.
        decay: gamma, from 0 to 1.

    Returns:
        float (...) each, new tensors without gradient.

    Raises:
        ValueError: if shapes do not fit, gamma is out of range, or an F is negative, NaN or infinite.
    """
    if not 0 <= decay <= 1:
        raise ValueError(f"decay must be from 0 (forget earlier tasks) to 1 (keep them whole), not {decay}")
    _require_fit("new_fisher", new_fisher, fisher)
    for name, tensors in (("fisher", fisher), ("new_fisher", new_fisher)):
        for place, tensor in enumerate(tensors):
            if not bool(((tensor >= 0) & torch.isfinite(tensor)).all()):
                raise ValueError(f"{name}[{place}] must be 0 or more and finite: make it by diagonal_fisher")
    return [decay * earlier.detach() + newer.detach() for earlier, newer in zip(fisher, new_fisher, strict=True)]


# --- learning without forgetting -----------------------------------------------------------------


def lwf_loss(
    logits: Tensor,
    previous_logits: Tensor,
    action_mask: Tensor,
    temperature: float = 2.0,
    weight: float = 1.0,
    normalizer: float | None = None,
    squared_temperature: bool = True,
) -> Tensor:
    r"""How far the softened distribution of each token has moved from the previous model's, on the new task's inputs.

    .. math:: \lambda\,T^2\,\frac{1}{\sum m} \sum_t m_t\,
        \mathrm{KL}\bigl(\mathrm{softmax}(z^{old}_t / T)\,\|\,\mathrm{softmax}(z_t / T)\bigr)

    LwF, Li and Hoiem 2017, arXiv:1606.09282, section 3, with its T of 2; their loss is the cross-entropy, which differs
    by a constant, without the factor T². That is Hinton et al.'s (2015, arXiv:1503.02531, section 2): gradients in the
    logits fall with 1/T², so that without it the weight means something else at each temperature. A NaN under the mask
    is one in the loss.

    Args:
        logits: z, float (..., V), differentiable; below float32 they are raised to it.
        previous_logits: z_old, of the frozen model from before the task, for the same tokens; float (..., V). Minus
            infinity is a word that it never says.
        action_mask: bool (...).
        temperature: T, above 0.
        weight: lambda, 0 or more.
        normalizer: action tokens of the whole batch, where this is a part of one; see ``token_mean``.
        squared_temperature: whether there is the factor T².

    Returns:
        scalar; 0 if nothing is under the mask.

    Raises:
        ValueError: if shapes do not fit, the mask is not bool, the temperature is not positive, or the weight is
            negative; either is not finite.

    >>> before, now, everywhere = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([True])
    >>> round(lwf_loss(now, before, everywhere).item(), 4), round(lwf_loss(now, before, everywhere, 1.0).item(), 4)
    (0.1054, 0.0671)
    """
    _require_weight(weight)
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be positive and finite, not {temperature}")
    _require_shape("previous_logits", previous_logits, logits.shape)
    _require_mask(action_mask, logits.shape[:-1])
    # Tokens outside the mask are left out before anything is computed: it is cheaper than to mask what comes of
    # them, and a NaN among them would be one in the gradient.
    new, old = (
        (each[action_mask].to(torch.promote_types(each.dtype, torch.float32)) / temperature).log_softmax(-1)
        for each in (logits, previous_logits.detach())
    )
    probability = old.exp()
    # Where the previous model has probability 0 the term is 0, and not infinity times that.
    terms = probability * torch.where(probability > 0, old - new, 0.0)
    kept = torch.ones(terms.shape[:-1], dtype=torch.bool, device=terms.device)
    factor = weight * (temperature**2 if squared_temperature else 1.0)
    return factor * token_mean(terms.sum(-1), kept, normalizer)


def sampled_lwf_loss(
    logprobs: Tensor,
    previous_logprobs: Tensor,
    action_mask: Tensor,
    weight: float = 1.0,
    normalizer: float | None = None,
) -> Tensor:
    r"""The same with the log-probabilities of sampled tokens alone, at temperature 1.

    .. math:: \lambda\,\frac{1}{\sum m} \sum_t m_t\,k_3(\log\pi_t - \log\pi^{old}_t)

    The mean of ``divergences.k3``, which holds a policy to its reference: for tokens that the *policy* has sampled its
    gradient is on average that of ``lwf_loss``, of KL(previous || policy), and its value KL(policy || previous). Other
    tokens, replayed ones too, need each an importance weight on top, which this does not give.

    Args:
        logprobs: float (B, T), differentiable.
        previous_logprobs: float (B, T); under the frozen model from before the task.
        action_mask: bool (B, T).
        weight: lambda, 0 or more.
        normalizer: as for ``lwf_loss``.

    Returns:
        scalar; 0 if nothing is under the mask.

    Raises:
        ValueError: if shapes do not fit, the mask is not bool, or the weight is negative or not finite.
    """
    _require_weight(weight)
    _require_shape("previous_logprobs", previous_logprobs, logprobs.shape)
    _require_mask(action_mask, logprobs.shape)
    # A NaN outside the mask would be one in the gradient, although nothing is added up there.
    new, old = (torch.where(action_mask, each, 0.0) for each in (logprobs, previous_logprobs.detach()))
    return weight * token_mean(k3(new, old), action_mask, normalizer)


# --- figures -------------------------------------------------------------------------------------


def average_accuracy(accuracies: Tensor) -> Tensor:
    r"""Mean accuracy on all tasks after the last of them: :math:`\frac1T \sum_i a_{T,i}`.

    ACC, Lopez-Paz and Ranzato 2017, arXiv:1706.08840, section 2.

    Args:
        accuracies: (T, T); row t is after task t, column i is on task i. Of each figure's matrix only what it is made
            of has to be known: here, the last row.

    Returns:
        scalar, float64.

    Raises:
        ValueError: if the matrix is not square or empty, or what is needed of it is NaN or infinite.
    """
    matrix = _square(accuracies, least=1)
    return _known(matrix, [(len(matrix) - 1, task) for task in range(len(matrix))]).mean()


def backward_transfer(accuracies: Tensor) -> Tensor:
    r"""How much learning later tasks has added to earlier ones, on average; what it took away is negative.

    .. math:: \frac{1}{T-1} \sum_{i<T} (a_{T,i} - a_{i,i})

    BWT, Lopez-Paz and Ranzato 2017, arXiv:1706.08840, section 2.

    Args:
        accuracies: as for ``average_accuracy``; the last row and the diagonal.

    Returns:
        scalar, float64.

    Raises:
        ValueError: if the matrix is not square or has fewer than 2 tasks, or what is needed of it is NaN or infinite.

    >>> a = torch.tensor([[0.9, 0.1, 0.1], [0.7, 0.8, 0.2], [0.6, 0.75, 0.85]])
    >>> [round(figure(a).item(), 3) for figure in (average_accuracy, backward_transfer, forgetting)]
    [0.733, -0.175, 0.175]
    """
    matrix = _square(accuracies)
    earlier = range(len(matrix) - 1)
    last = _known(matrix, [(len(matrix) - 1, task) for task in earlier])
    return (last - _known(matrix, [(task, task) for task in earlier])).mean()


def forward_transfer(accuracies: Tensor, untrained: Tensor) -> Tensor:
    r"""How much better a task goes before it is learnt, thanks to those before it, than without any training.

    .. math:: \frac{1}{T-1} \sum_{i>1} (a_{i-1,i} - b_i)

    FWT, Lopez-Paz and Ranzato 2017, arXiv:1706.08840, section 2.

    Args:
        accuracies: as for ``average_accuracy``; the diagonal above the main one.
        untrained: b, (T,); accuracy on each task of the policy that the first task began with. The first task's is
            not used.

    Returns:
        scalar, float64.

    Raises:
        ValueError: as for ``backward_transfer``, or if b does not fit, or is NaN or infinite.
    """
    matrix = _square(accuracies)
    _require_shape("untrained", untrained, matrix.shape[:1])
    baseline = untrained[1:].double()
    if not bool(torch.isfinite(baseline).all()):
        raise ValueError(
            f"untrained must be finite but for the first task, not {untrained.tolist()}: evaluate the untrained policy "
            "on every other task"
        )
    return (_known(matrix, [(task - 1, task) for task in range(1, len(matrix))]) - baseline).mean()


def forgetting(accuracies: Tensor) -> Tensor:
    r"""How far earlier tasks have fallen from the best that they ever were before the last one, on average.

    .. math:: \frac{1}{T-1} \sum_{i<T} \bigl(\max_{t<T} a_{t,i} - a_{T,i}\bigr)

    Chaudhry et al. 2018, arXiv:1801.10112. Never less than minus the backward transfer, and equal to it if each task
    is at its best just after it was learnt; negative if the last task has made the earlier ones better than ever.

    Args:
        accuracies: as for ``average_accuracy``; all but the last column.

    Returns:
        scalar, float64.

    Raises:
        ValueError: as for ``backward_transfer``.
    """
    matrix = _square(accuracies)
    tasks = len(matrix)
    known = _known(matrix, [(after, task) for after in range(tasks) for task in range(tasks - 1)]).view(tasks, -1)
    return (known[:-1].max(0).values - known[-1]).mean()


# --- what has to hold ----------------------------------------------------------------------------


def _square(accuracies: Tensor, least: int = 2) -> Tensor:
    """The matrix in float64, of at least so many tasks."""
    if accuracies.ndim != 2 or accuracies.shape[0] != accuracies.shape[1]:
        raise ValueError(
            f"accuracies must be square, a row after each task and a column for each, not {tuple(accuracies.shape)}"
        )
    if len(accuracies) < least:
        raise ValueError(f"accuracies must be of {least} or more tasks, not {len(accuracies)}")
    return accuracies.double()


def _known(matrix: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
    """What stands in some places of the matrix, all of it finite."""
    rows, columns = zip(*places, strict=True)
    found = matrix[list(rows), list(columns)]
    for (after, task), finite in zip(places, torch.isfinite(found).tolist(), strict=True):
        if not finite:
            raise ValueError(
                f"accuracies[{after}, {task}] is {matrix[after, task].item()}: evaluate task {task} after learning "
                f"task {after} (both counted from 0)"
            )
    return found


def _require_weight(weight: float) -> None:
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight must be 0 or more and finite, not {weight}")


def _require_shape(name: str, tensor: Tensor, shape: torch.Size) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name} must have the shape {tuple(shape)}, not {tuple(tensor.shape)}")


def _require_mask(action_mask: Tensor, shape: torch.Size) -> None:
    _require_shape("action_mask", action_mask, shape)
    # Whole numbers would be taken for places.
    if action_mask.dtype != torch.bool:
        raise ValueError(f"action_mask must be of torch.bool, not {action_mask.dtype}: give action_mask.bool()")


def _require_fit(name: str, tensors: Sequence[Tensor], parameters: Sequence[Tensor]) -> None:
    """Refuses tensors that are not one for each parameter, of its shape."""
    if not parameters:
        raise ValueError(f"{name} belong to no parameter: give those that are trained")
    if len(tensors) != len(parameters):
        raise ValueError(f"{name} must be one for each of {len(parameters)} parameters, not {len(tensors)}")
    for place, (tensor, parameter) in enumerate(zip(tensors, parameters, strict=True)):
        if tensor.shape != parameter.shape:
            raise ValueError(
                f"{name} must have the shapes of the parameters: number {place} is {tuple(tensor.shape)}, and its "
                f"parameter is {tuple(parameter.shape)}"
            )
