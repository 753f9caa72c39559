"""A model card beside a finished training: README.md, with the front matter that Hugging Face reads.

It says what people ask before they use weights: trained on what and how, how good, under which licence, how to load.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salbench.metrics import METRICS
from salbench.registry import folder_option
from salbench.training.checkpoint import Record
from salbench.writing import atomic_write

if TYPE_CHECKING:
    from salbench.training.method import LearnedMethod

NAME = "README.md"
_CARD = """---
library_name: salbench
license: unknown
tags: [saliency, gaze-prediction]
datasets: {datasets}
---

# {method}, {notes_short}

{summary}

## How to load

If these files are in a repository on the Hugging Face hub, `salbench weights get --methods {method} --hub OWNER/REPO`
downloads them and prints their folder. In the folder above that of these files:

```sh
salbench run --methods {method}:{folder}{option} --dataset NAME
```

```python
import salbench

method = salbench.load_method("{method}:{folder}")
density = salbench.predict("photo.jpg", method, density=True)
```

`best.safetensors` holds the weights and the record of their training; `best.json` is that record.

## Data

{notes}

## Recipe

```json
{recipe}
```

Random seed: {seed}. The weights are those of epoch {epoch}, after {step} steps.

## Scores

On the images that were held out to choose the epoch, under the protocol tuebingen. They are no test.

| metric | value |
|---|---|
{scores}

## Licence

None stated. State one here, and as `license` above, before you share the weights. The licences of the data
(`salbench list datasets`) may limit the choice{published}.
"""


def write(folder: Path, method: LearnedMethod, record: Record) -> None:
    """Write the card, unless the folder has one, because somebody may have edited it.

    Args:
        folder: of the training.
        method: that was trained.
        record: of its best weights.
    """
    path = folder / NAME
    if path.exists() or record.data is None or not record.history:
        return
    with atomic_write(path) as file:
        file.write(_CARD.format(**_facts(folder, method, record)))


def _facts(folder: Path, method: LearnedMethod, record: Record) -> dict[str, Any]:
    assert record.data is not None
    best, facts = record.history[-1], record.identity.facts
    notes = method.notes_on(record.data)
    licences = {f"{file.file} is {file.licence}" for file in (*method.checkpoints, *method.imagenet)}
    return {
        "method": method.name,
        "datasets": json.dumps(record.data.dataset.split("+") if record.data.dataset else []),
        "notes_short": notes[0].rstrip("."),
        "summary": (type(method).__doc__ or "").partition("\n")[0],
        "folder": folder.name,
        "option": folder_option(method.name),
        "notes": "\n".join(f"- {note}" for note in notes),
        "recipe": json.dumps(facts.get("recipe", {}), indent=2),
        "seed": facts.get("seed"),
        "epoch": int(best["epoch"]),
        "step": record.step,
        "scores": "\n".join(f"| {name} | {best[name]:.4f} |" for name in METRICS if name in best),
        "published": f". Files that a training can start from: {'; '.join(sorted(licences))}" if licences else "",
    }
