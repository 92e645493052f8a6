"""The training losses: tokens, where attention shall look, and frame labels. Weights are in `WEIGHTS`."""

import math

import torch
import torch.nn.functional as F
from torch import nn

import targets

# All but `tokens` are help for learning; train.py halves them late in the run.
WEIGHTS = {
    "next": 0.4, "next_early": 0.15, "current": 0.25, "nav": 0.4,
    "word": 1.0, "index": 0.4, "phrase": 0.2, "phoneme": 0.5,
}
EOT_WEIGHT = 2.5


class Helpers(nn.Module):
    """Linear heads on the encoder for the frame labels; thrown away after training."""

    def __init__(self, state, sizes):
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(state, size) for name, size in sizes.items()})


class Timestamps:
    """Soft labels: a timestamp one step away is nearly right, one in the neighbourhood better than any other."""

    def __init__(self):
        far = torch.arange(targets.TIMESTAMPS)
        near = 0.03 * torch.exp(-far / 25) / 25 + 0.006 * torch.exp(-far / 400) / 400
        near[0] += 0.62
        near[1] += 0.16
        labels = near[(far[:, None] - far[None]).abs()]
        self.labels = labels / labels.sum(1, keepdim=True)


def token_loss(vocabulary, stamps, logits, wanted, stats):
    """(weighted sum of cross-entropies, sum of weights)."""
    rows = wanted >= 0
    logits, wanted = logits[rows].float(), wanted[rows]
    # The rows that never occur have logit 0 each.
    unused = torch.full_like(logits[:, :1], math.log(targets.FULL_VOCABULARY - len(vocabulary.used)))
    total = torch.logaddexp(logits.logsumexp(1, keepdim=True), unused)
    logs = logits - total
    is_stamp = wanted >= vocabulary.stamp
    hard, soft = logs[~is_stamp], logs[is_stamp][:, vocabulary.stamp :]
    hard_wanted, soft_wanted = wanted[~is_stamp], wanted[is_stamp] - vocabulary.stamp
    weights = torch.where(hard_wanted == vocabulary.eot, EOT_WEIGHT, 1.0)
    loss = -(weights * logs_of(hard, hard_wanted)).sum() - (stamps.labels[soft_wanted] * soft).sum()
    with torch.no_grad():
        stats.add("hard", (hard.argmax(1) == hard_wanted).float().sum(), len(hard_wanted))
        stats.add("ts3", ((soft.argmax(1) - soft_wanted).abs() <= 3).float().sum(), len(soft_wanted))
        stats.add("CE", loss.detach(), weights.sum() + len(soft_wanted))
    return loss, weights.sum() + len(soft_wanted)


def logs_of(logs, wanted):
    return logs.gather(1, wanted[:, None]).squeeze(1)


def _outside(scores, begin, end):
    """-ln of the attention mass in [begin, end), for rows of scores."""
    frames = torch.arange(scores.shape[-1])
    inside = (frames >= begin[..., None]) & (frames < end[..., None])
    return scores.logsumexp(-1) - scores.masked_fill(~inside, -math.inf).logsumexp(-1)


def guided(queries, keys, head, spans):
    """Mean of -ln(attention mass on the span) for one head; spans (n, rows, 2), begin < 0 where there is none."""
    count = keys.shape[2]
    begin, end = spans[..., 0], spans[..., 1].clamp(max=count)
    rows = (spans[..., 1] > 0) & (begin < count)
    losses = []
    for i in range(len(spans)):
        row = rows[i]
        scores = queries[i, head, row].float() @ keys[i, head].float().T * queries.shape[-1] ** -0.5
        losses.append(_outside(scores, begin[i, row].clamp(max=count - 1), end[i, row]))
    losses = torch.cat(losses)
    return losses.mean() if len(losses) else queries.sum() * 0


def navigation(generator, looks, onsets):
    """Random frames of each window shall look at the next phrase's onset, with the last encoder layer's head 1."""
    queries, keys = looks
    losses = []
    for i, starts in enumerate(onsets):
        if not starts:
            continue
        frames = torch.randint(keys.shape[2], (64,), generator=generator)
        starts = torch.tensor(starts)
        place = torch.searchsorted(starts, frames, right=True)
        frames, place = frames[place < len(starts)], place[place < len(starts)]
        if len(frames):
            scores = queries[i, 1, frames].float() @ keys[i, 1].float().T * queries.shape[-1] ** -0.5
            losses.append(_outside(scores, starts[place] - 1, starts[place] + 3))
    return torch.cat(losses).mean() if losses else queries.sum() * 0


def frame_losses(helpers, sound, first_layer, labels, stats):
    """{name: cross-entropy} of the frame labels."""
    losses = {}
    for name, head in helpers.heads.items():
        logits = head(first_layer if name == "phoneme" else sound).flatten(0, 1)
        wanted = labels[name].flatten()
        losses[name] = F.cross_entropy(logits.float(), wanted)
        if name == "word":
            with torch.no_grad():
                inside = wanted > 0
                stats.add("word", (logits.argmax(1) == wanted)[inside].float().sum(), inside.sum())
    return losses
