"""A commented study file to begin with."""

from __future__ import annotations

from pathlib import Path

from quorum.errors import StudyError

TEMPLATE = """\
# A study of your own: each stage is a table, and goes on from the best trial of the one before it.
# Command: {command}
# docs/adding-a-study.md says all that a study can hold; `quorum train --help` lists the settings.
description: >
  What this study asks. It stands above the tables in the MLflow UI.
dataset: {dataset}

# Settings of all trials. `-P name=value` on the command line replaces one.
base:
  model: timm/tf_efficientnet_lite0   # or resnet18, scratch-simple, ...: docs/networks.md
  weights: imagenet                   # none: begin at random
  input_size: 128                     # pixels; smaller is faster
  resize: 144                         # the shorter side, before the crop
  frozen_norm: fixed                  # layers that do not train stay as they are
  batch_size: auto                    # at most a quarter of the training images
  epochs: 20
  step_size: 20                       # every 20 epochs the learning rate drops ...
  gamma: 0.1                          # ... to a tenth

stages:
  - name: probe                       # the last layer alone: quick, as the rest is computed once
    set: {{phases: classifier}}         # what the stage fixes
    vary: {{lr: [0.001, 0.01]}}         # what it compares: every combination of the listed values
  - name: fine-tune                   # all layers, from where the best probe has ended
    set: {{phases: "1:classifier,21:all"}}
    vary: {{epochs: [23, 26]}}
  # A search takes the place of a list where you do not know the values:
  # - name: search
  #   search: tpe
  #   trials: 10
  #   ranges:
  #     lr: {{low: 1e-4, high: 1e-1, log: true}}
  #     augment: [none, flip]

# The best trials of these stages vote in the end. Leave it out where you want no vote.
vote:
  members: [probe, fine-tune]
"""


def write_template(file: Path, dataset: str, command: str) -> None:
    """Write a study to begin with.

    Args:
        file: its place. Folders above it are made.
        dataset: the data set that it is for.
        command: that runs it.

    Raises:
        StudyError: where the file is there already.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("x") as opened:
            opened.write(TEMPLATE.format(dataset=dataset, command=command))
    except FileExistsError as error:
        raise StudyError(f"study: {file} is there already, and is not overwritten; give study= another name") from error
