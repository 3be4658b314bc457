"""What `promote` and `ensemble` take."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from quorum.api.option_types import Abstain, Boolean, Texts
from quorum.api.options import ComputeOptions, JobOptions, SplitOptions
from quorum.metric_names import training_metric
from quorum.tracking.schema import MAX_SEEDS


class PromoteOptions(JobOptions):
    """Options of `promote`."""

    dataset: str = Field("digits", description="data set whose trials are considered")
    top: int = Field(3, ge=1, le=99, description="how many trials to promote")
    metric: Literal["val_accuracy/mean", "val_loss/mean"] = Field(
        "val_accuracy/mean", description="what trials are ranked by; losses: the lower the better"
    )
    confirm: int = Field(
        0, ge=0, le=MAX_SEEDS, description="fresh seeds for each candidate, which are then ranked by those alone"
    )
    candidates: int | None = Field(
        None,
        ge=1,
        le=99,
        description="trials that get fresh seeds, the best `top` of which are promoted; by default top",
    )
    gate: Literal["on", "off"] = Field(
        "on", description="keep the champion in its place where the new best trial is shown to be worse; off skips this"
    )
    rollback: Boolean = Field(False, description="restore the aliases that the last promotion replaced")

    @field_validator("metric", mode="before")
    @classmethod
    def _never_test(cls, metric: object) -> object:
        if isinstance(metric, str) and metric.startswith("test"):
            raise ValueError("is a test figure; the test split is never chosen on")
        return metric

    @field_validator("candidates")
    @classmethod
    def _enough(cls, candidates: int | None, given: ValidationInfo) -> int | None:
        if candidates is not None and not given.data.get("confirm"):
            raise ValueError("needs fresh seeds to choose by; give confirm= too")
        if candidates is not None and candidates < (top := given.data.get("top", 0)):
            raise ValueError(f"is fewer than top={top}")
        return candidates

    @property
    def considered(self) -> int:
        """Number of candidates."""
        return self.candidates or self.top

    @property
    def ranked_by(self) -> str:
        """The metric of a training by whose mean trials are ranked."""
        return training_metric(self.metric)


class EnsembleOptions(SplitOptions, ComputeOptions):
    """Options of `ensemble`."""

    dataset: str = Field("digits", description="data set whose test split is predicted and whose promoted models vote")
    models: Texts = Field((), description="members as model URIs, best first; by default all best-N aliases")
    images: Path | None = Field(None, description="folder of unlabeled images to predict instead of the test split")
    output: Path = Field(Path("predictions.csv"), description="file for the predictions")
    vote: Literal["majority", "soft", "greedy"] = Field(
        "majority",
        description="how members become one answer: most votes, highest mean of calibrated probabilities, or a "
        "weighted mean with weights fitted on the validation images",
    )
    calibrate: Literal["auto", "none", "temperature"] = Field(
        "auto",
        description="temperature: divide each member's logits by one fitted on the validation images; auto: unless the "
        "vote is by majority",
    )
    abstain: Abstain | None = Field(
        None, description="leave images undecided below agreement:BOUND or probability:BOUND, such as agreement:0.6"
    )

    @property
    def calibrated(self) -> bool:
        """Whether the members' probabilities are calibrated."""
        return self.calibrate == "temperature" or (self.calibrate == "auto" and self.vote != "majority")

    @property
    def fitted(self) -> bool:
        """Whether anything is fitted on the validation images."""
        return self.calibrated or self.vote == "greedy"
